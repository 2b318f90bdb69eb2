"""The peer of B3: an nvidia-smi document over expat, every leaf of every GPU into a number with its unit or a text."""

import json
import statistics
import sys
import time
import xml.parsers.expat


def typed(text):
    text = text.strip()
    if text in ("N/A", "[N/A]", "None", "", "[Not Supported]", "Requested functionality has been deprecated"):
        return None
    number, _, unit = text.partition(" ")
    try:
        return float(number), unit
    except ValueError:
        return text


def parse(document):
    gpus, path, text = [], [], []

    def start(name, attributes):
        if name == "gpu":
            gpus.append({"id": attributes.get("id")})
        path.append(name)
        text.clear()

    def end(_name):
        if len(path) > 2 and text and "supported_clocks" not in path:
            value = "".join(text)
            if value.strip():
                gpus[-1]["/".join(path[2:])] = typed(value)
        path.pop()
        text.clear()

    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text.append
    parser.Parse(document, True)
    return gpus


def main():
    with open(sys.argv[1], "rb") as file:
        document = file.read()
    times = []
    for _ in range(int(sys.argv[2])):
        begin = time.perf_counter()
        gpus = parse(document)
        times.append((time.perf_counter() - begin) * 1e3)
    print(json.dumps({"gpus": len(gpus), "median_ms": statistics.median(times)}))


main()
