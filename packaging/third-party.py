#!/usr/bin/env python3
"""third-party.py VERSION SBOM LICENCES: writes what the programs of the package are linked from, as an SBOM (CycloneDX 1.5, JSON), and
the licences of the crates with their texts. Only crates that a shipped program links count, not those of the tests. The same input gives
the same bytes: no time of day, no random number, no path."""
import json
import os
import subprocess
import sys
import uuid

version, sbom, licences = sys.argv[1:]
os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
with open("packaging/programs", encoding="utf-8") as lines:
    programs = [line.split()[0] for line in lines]


def cargo(*arguments):
    return subprocess.run(["cargo", *arguments, "--locked"], check=True, stdout=subprocess.PIPE, text=True).stdout


host = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout.split("host: ")[1].split()[0]
metadata = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", host))
packages = {(one["name"], one["version"]): one for one in metadata["packages"]}
selected = [word for program in programs for word in ("-p", program)]
tree = cargo("tree", *selected, "-e", "normal", "--prefix", "none", "--no-dedupe", "-f", "{p}")
linked = sorted({(words[0], words[1].removeprefix("v")) for words in map(str.split, tree.splitlines()) if words})
theirs = [packages[one] for one in linked if packages[one]["source"]]

with open("Cargo.lock", encoding="utf-8") as lock:
    checksums, name, number = {}, "", ""
    for line in lock:
        key, _, value = line.strip().partition(" = ")
        value = value.strip('"')
        if key == "name":
            name = value
        elif key == "version":
            number = value
        elif key == "checksum":
            checksums[name, number] = value


def component(one):
    found = {
        "type": "library",
        "bom-ref": f"pkg:cargo/{one['name']}@{one['version']}",
        "name": one["name"],
        "version": one["version"],
        "purl": f"pkg:cargo/{one['name']}@{one['version']}",
        "licenses": [{"expression": " OR ".join(map(str.strip, one["license"].split("/")))}] if one["license"] else [],
    }
    digest = checksums.get((one["name"], one["version"]))
    if digest:
        found["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if one["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": one["repository"]}]
    return found


components = [component(one) for one in theirs]
content = json.dumps(components, sort_keys=True)
document = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "serialNumber": "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_URL, version + content)),
    "version": 1,
    "metadata": {
        "component": {
            "type": "application",
            "name": "gpuhostd",
            "version": version,
            "licenses": [{"license": {"id": "Apache-2.0"}}],
            "components": [{"type": "application", "name": program, "version": version} for program in programs],
        }
    },
    "components": components,
}
with open(sbom, "w", encoding="utf-8") as out:
    json.dump(document, out, indent=1, sort_keys=True)
    out.write("\n")


def texts(one):
    folder = os.path.dirname(one["manifest_path"])
    wanted = ("license", "licence", "copying", "copyright", "notice")
    for entry in sorted(os.listdir(folder)):
        path = os.path.join(folder, entry)
        if entry.lower().startswith(wanted) and os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as text:
                yield text.read().strip().replace("\r\n", "\n")


by_text = {}
with open(licences, "w", encoding="utf-8") as out:
    out.write(f"The programs of gpuhostd {version} are linked from {len(theirs)} crates of others, under these licences:\n\n")
    for one in theirs:
        out.write(f"{one['name']} {one['version']}: {one['license'] or 'see its text'}\n")
        for text in texts(one):
            by_text.setdefault(text, []).append(f"{one['name']} {one['version']}")
    for text, names in sorted(by_text.items(), key=lambda item: item[1]):
        out.write("\n" + "=" * 80 + "\n" + ", ".join(names) + "\n" + "=" * 80 + "\n\n" + text + "\n")
without = [one["name"] for one in theirs if not one["license"] and not list(texts(one))]
if without:
    sys.exit(f"third-party.py: without any licence: {', '.join(without)}")
