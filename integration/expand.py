"""Expands template.yaml as CloudFormation does when it is deployed: the SAM translator does it there too.

usage: expand.py TEMPLATE BUCKET >CLOUDFORMATION

The code of all functions is BUCKET/function.zip. Where moto falls short: it reads no definitions of state machines
from S3 and knows no DefinitionSubstitutions, so they become a DefinitionString that joins its parts, which means the same; it
knows no function URLs, so the output that names one is left out; it overlooks the body of an API, and then refuses to
deploy one without methods, so its deployment and stage are left out.
"""
import json
import pathlib
import re
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform


class Policies:
    """The managed policies that SAM may name; the template names none."""

    @staticmethod
    def load():
        return {}


def main(path, bucket):
    folder = pathlib.Path(path).parent
    template = yaml_parse(pathlib.Path(path).read_text(encoding="utf-8"))
    definitions = {}
    for name, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = {"Bucket": bucket, "Key": "function.zip"}
        if resource["Type"] == "AWS::Serverless::StateMachine":
            definitions[name] = (folder / properties["DefinitionUri"]).read_text(encoding="utf-8")
            properties["DefinitionUri"] = {"Bucket": bucket, "Key": name}
    template.get("Globals", {}).get("Function", {}).pop("CodeUri", None)
    parameters = {
        name: parameter["Default"] for name, parameter in template["Parameters"].items() if "Default" in parameter
    }
    expanded = transform(template, parameters, Policies)
    for name, text in definitions.items():
        properties = expanded["Resources"][name]["Properties"]
        del properties["DefinitionS3Location"]
        values = properties.pop("DefinitionSubstitutions")
        parts = re.split(r"\$\{([A-Za-z][A-Za-z0-9]*)\}", text)
        parts[1::2] = [values[name] for name in parts[1::2]]
        properties["DefinitionString"] = {"Fn::Join": ["", parts]}
    del expanded["Outputs"]["NodesUrl"]
    for name, resource in list(expanded["Resources"].items()):
        if resource["Type"] in ("AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage"):
            del expanded["Resources"][name]
    json.dump(expanded, sys.stdout)


main(*sys.argv[1:])
