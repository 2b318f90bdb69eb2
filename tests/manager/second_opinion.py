#!/usr/bin/python3
"""Validates JSON bodies against docs/manager-api/openapi.yaml with Debian's python3-jsonschema.

A second opinion beside the manager's own validator: another implementation, another language, another YAML parser.

    second_opinion.py SCHEMA [FILE]   one body (standard input without FILE); SCHEMA as Heartbeat or as a JSON pointer;
                                      says what is wrong and exits 1 where something is
    second_opinion.py                 many: a line [pointer, body] of JSON in, a line {"valid": …, "errors": […]} out
"""
import datetime
import json
import pathlib
import re
import sys

try:
    import yaml
    from jsonschema import Draft202012Validator, FormatChecker
except ImportError as error:
    sys.exit(f"{error}: apt-get install python3-jsonschema python3-yaml")

CONTRACT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "manager-api" / "openapi.yaml"
DATE_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
formats = FormatChecker(formats=())


@formats.checks("date-time", raises=ValueError)
def date_time(value):
    """RFC 3339; the library itself checks it only with a package that Debian does not install with it."""
    if not isinstance(value, str):
        return True
    match = DATE_TIME.fullmatch(value)
    if not match:
        return False
    datetime.date.fromisoformat(match[1])
    return int(match[2]) < 24 and int(match[3]) < 60 and int(match[4]) < 60


@formats.checks("uuid")
def uuid(value):
    """RFC 4122, with its hyphens."""
    return not isinstance(value, str) or UUID.fullmatch(value) is not None


class Contract:
    """The OpenAPI file, and a validator for each schema in it that was asked for."""

    def __init__(self):
        self.document = yaml.safe_load(CONTRACT.read_text(encoding="utf-8"))
        self.validators = {}

    def errors(self, pointer, body):
        """All that is wrong with a body by the schema at a JSON pointer."""
        if pointer not in self.validators:
            root = {key: self.document[key] for key in ("paths", "components")}
            schema = {"$schema": Draft202012Validator.META_SCHEMA["$id"], "$ref": "#" + pointer, **root}
            self.validators[pointer] = Draft202012Validator(schema, format_checker=formats)
        return [f"/{'/'.join(map(str, error.absolute_path))}: {error.message}"
                for error in self.validators[pointer].iter_errors(body)]


def main():
    contract = Contract()
    if len(sys.argv) == 1:
        for line in sys.stdin:
            pointer, body = json.loads(line)
            errors = contract.errors(pointer, body)
            print(json.dumps({"valid": not errors, "errors": errors}))
        return
    name = sys.argv[1]
    source = open(sys.argv[2], encoding="utf-8") if len(sys.argv) > 2 else sys.stdin
    errors = contract.errors(name if name.startswith("/") else f"/components/schemas/{name}", json.load(source))
    if errors:
        sys.exit("\n".join(errors))


if __name__ == "__main__":
    main()
