// Every page, opened by people of every role: none breaks, nothing is offered that would be refused, and what is not
// offered is explained. The pages are those of console/testdata/routes.txt, which is the console's own table.
import { before, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { api, aws, backedUp, base, cluster, encrypted, env, secret, signIn, visitor, within } from "./driver.mjs";

const lines = readFileSync("console/testdata/routes.txt", "utf8").trim().split("\n").map((line) => line.split(" "));
const pages = lines.filter(([kind]) => kind === "page").map(([, path]) => path);
const forms = new Set(lines.filter(([kind]) => kind === "action").map(([, , , form]) => form));

// What pages say instead of a form.
const explained = /takes (the role |a |an )?(Project|Organi[sz]ation) |Only (a )?Project Owners?|It is off|already reached by role|no Region that could|single-Region key|Ask (an|a) /;

let it, places;
before(async () => {
  it = await encrypted("rights");
  await it.api("POST", "/alertConfigs", {
    eventTypeName: "AWS_ENCRYPTION_KEY_INVALID", enabled: true, notifications: [{ typeName: "GROUP", emailEnabled: true, intervalMin: 60 }],
  });
  aws("kms", "disable-key", "--key-id", it.key);
  await it.own("POST", "/encryptionAtRest/validate", {});
  const alerts = async () => (await it.api("GET", "/alerts?status=OPEN")).results;
  await within(90, "an alert is open", async () => (await alerts()).length > 0);
  const [alert] = await alerts();
  aws("kms", "enable-key", "--key-id", it.key);
  await it.own("POST", "/encryptionAtRest/validate", {});
  await it.api("PATCH", "/encryptionAtRest", { awsKms: { requirePrivateNetworking: true } });
  const endpoint = await it.api("POST", "/encryptionAtRest/AWS/privateEndpoints", { regionName: "US_EAST_1" });
  await within(90, "the endpoint is active", async () => (await it.api("GET", `/encryptionAtRest/AWS/privateEndpoints/${endpoint.id}`)).status === "ACTIVE");
  await cluster(it, "Shop");
  const snapshot = await it.api("POST", "/clusters/Shop/backup/snapshots", { description: "kept", retentionInDays: 1 });
  await backedUp(it, "Shop", "the snapshot is complete", async () => (await it.api("GET", `/clusters/Shop/backup/snapshots/${snapshot.id}`)).status === "completed");
  const job = await it.api("POST", "/clusters/Shop/backup/restoreJobs", {
    deliveryType: "automated", snapshotId: snapshot.id, targetClusterName: "Shop", targetGroupId: it.id,
  });
  const config = (await it.api("GET", "/alertConfigs")).results.find((c) => c.id === alert.alertConfigId);
  places = {
    groupId: [it.id], orgId: [env.ORG_ID], clusterName: ["Shop"], snapshotId: [snapshot.id], restoreJobId: [job.id], roleId: [it.role.id],
    endpointId: [endpoint.id], alertId: [alert.id], alertConfigId: [config.id], notifierId: [config.notifications[0].notifierId],
    provider: ["AWS", "AZURE", "GCP"], what: ["start", "defer", "reset"],
  };
});

// addresses fills in the variables of a path, in all ways.
function addresses(path) {
  const name = /\{(\w+)\}/.exec(path)?.[1];
  if (!name) return [path];
  let values = places[name];
  assert.ok(values?.every(Boolean), `nothing stands for ${name}`);
  if (name === "provider" && path.includes("/endpoints")) values = path.includes("{endpointId}") ? ["AWS"] : ["AWS", "AZURE"]; // Google has none
  path += { "new-notification": "?kind=WEBHOOK", review: `?target=${it.id}/Shop` }[path.split("/").at(-1)] ?? ""; // nothing leads there without a choice
  return values.flatMap((value) => addresses(path.replace(`{${name}}`, value)));
}

// someone has an API key with these roles, and signs in.
async function someone(orgRoles, groupRoles) {
  const key = await api("POST", `/api/atlas/v2/orgs/${env.ORG_ID}/apiKeys`, { desc: "rights", roles: orgRoles });
  if (groupRoles.length) await api("PATCH", `/api/atlas/v2/groups/${it.id}/apiKeys/${key.id}`, { roles: groupRoles });
  const page = await visitor();
  await signIn(page, key.publicKey, secret(key.privateKey));
  await page.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
  return page;
}

// offered are the forms on a page that would change something.
const offered = (page) => page.locator("main form[method=post]").evaluateAll((all) => all.map((form) => ({
  action: new URL(form.action).pathname, fields: Object.fromEntries(new FormData(form)),
})));

for (const [who, orgRoles, groupRoles, none] of [
  ["who may only read", ["ORG_MEMBER"], ["GROUP_READ_ONLY"], true],
  ["an owner of the organisation alone", ["ORG_OWNER"], [], true],
  ["who manages clusters", ["ORG_MEMBER"], ["GROUP_CLUSTER_MANAGER"], false],
  ["who manages backups", ["ORG_MEMBER"], ["GROUP_BACKUP_MANAGER"], false],
]) {
  test(`every page, for ${who}`, async () => {
    const page = await someone(orgRoles, groupRoles);
    const found = new Map(), wrong = [];
    for (const path of pages) {
      for (const address of addresses(path)) {
        const answer = await page.goto(address, { waitUntil: "domcontentloaded" });
        if (answer.status() !== 200 || await page.locator("h1").count() !== 1) {
          wrong.push(`${address}: ${answer.status()} ${(await page.locator("main").innerText()).slice(0, 300)}`);
          continue;
        }
        const all = await offered(page);
        for (const form of all) found.set(form.action, form);
        if (none && all.length > 0) wrong.push(`${address} offers ${all.map((f) => f.action)}`);
        if (forms.has(path) && all.length === 0 && !explained.test(await page.locator("main").innerText())) wrong.push(`${address} explains nothing`);
      }
    }
    // What is offered is not refused for want of a role: the gate comes before anything else of a request.
    for (const { action, fields } of found.values()) {
      const answer = await page.request.post(action, { form: fields, headers: { origin: base }, maxRedirects: 0 });
      if (answer.status() >= 500 || /You may not do this/.test(await answer.text())) wrong.push(`POST ${action}: ${answer.status()}`);
    }
    assert.deepEqual(wrong, []);
    assert.equal(found.size > 0, !none, `${found.size} forms`);
  });
}
