"""summary.py REPORT...: what schemathesis was answered. It fails where hardly anything was allowed: no finding means nothing then."""

import collections
import json
import sys

statuses, operations = collections.Counter(), collections.defaultdict(collections.Counter)
for report in sys.argv[1:]:
    with open(report, encoding="utf-8") as lines:
        for line in lines:
            recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
            for interaction in (recorder.get("interactions") or {}).values():
                status = (interaction.get("response") or {}).get("status_code")
                statuses[status] += 1
                operations[recorder["label"]][status] += 1

allowed = sum(any(status and status < 300 for status in seen) for seen in operations.values())
print(f"{sum(statuses.values())} requests of {len(operations)} operations:",
      ", ".join(f"{status} {count} times" for status, count in sorted(statuses.items(), key=lambda s: -s[1])))
print(f"{allowed} of the operations were answered with success at least once")
if allowed * 2 < len(operations):
    sys.exit("that is too little to conclude anything from")
