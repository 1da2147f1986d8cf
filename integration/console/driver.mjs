// What the tests of the console share: a browser whose every page is watched, the API and the pocket clouds beside it, and
// what is demanded of every page. integration/console.sh starts the suite and names everything in the environment.
import { createRequire } from "node:module";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import path from "node:path";
import assert from "node:assert/strict";
import { after, before } from "node:test";

const require = createRequire(import.meta.url); // the packages are below .cache, where NODE_PATH points to
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const env = process.env;
export const base = env.BASE;
const wide = { width: 1280, height: 900 }, narrow = { width: 390, height: 844 };
const shots = env.SHOTS;
mkdirSync(shots, { recursive: true });

// --- beside the browser: the API, the clouds, what a tenant does -----------------------------------------------------

// send makes one request and returns its status and its body; through is the proxy that the clouds are.
function send(method, url, { headers = {}, body, through } = {}) {
  return new Promise((resolve, reject) => {
    const to = new URL(url), at = through ? new URL(through) : to;
    const asked = request({
      host: at.hostname, port: at.port, method, path: through ? url : to.pathname + to.search, headers: { host: to.host, ...headers },
    }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part) => { text += part; }).on("end", () => resolve({ status: answer.statusCode, text }));
    });
    asked.on("error", reject).end(body && JSON.stringify(body));
  });
}

async function sendJSON(method, url, options) {
  const { status, text } = await send(method, url, options);
  assert.ok(status < 300, `${method} ${url}: ${status} ${text}`);
  return text ? JSON.parse(text) : {};
}

const media = "application/vnd.atlas.2024-11-13+json";
let token;

// api asks the public API as the service account, which owns the organisation.
export async function api(method, where, body) {
  token ??= await bearer(env.CLIENT_ID, env.CLIENT_SECRET);
  return sendJSON(method, base + where, { headers: { accept: media, "content-type": media, authorization: `Bearer ${token}` }, body });
}

async function bearer(id, secret) {
  const { status, text } = await new Promise((resolve, reject) => {
    const to = new URL(base + "/api/oauth/token");
    const asked = request({
      host: to.hostname, port: to.port, path: to.pathname, method: "POST",
      headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}`, "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
    }, (answer) => {
      let text = "";
      answer.on("data", (part) => { text += part; }).on("end", () => resolve({ status: answer.statusCode, text }));
    });
    asked.on("error", reject).end("grant_type=client_credentials");
  });
  assert.equal(status, 200, text);
  return JSON.parse(text).access_token;
}

// cloud asks the tenant's Azure or Google, as their administrator.
export const cloud = (method, url, body) => sendJSON(method, url, {
  through: env.CLOUDS, body, headers: { authorization: `Bearer ${env.CLOUD_TOKEN}`, "content-type": "application/json" },
});

// aws runs the AWS CLI as the tenant, in a folder of its own, and returns what it printed.
const desk = mkdtempSync(path.join(env.WORK, "desk-"));
export const aws = (...words) => execFileSync("aws", words, { cwd: desk, encoding: "utf8", env: { ...env, AWS_PAGER: "" } }).trim();
export const save = (name, text) => writeFileSync(path.join(desk, name), text);
// paste runs a line as a page shows it.
export const paste = (line) => execFileSync("bash", ["-euc", line], { cwd: desk, encoding: "utf8", env: { ...env, AWS_PAGER: "" } });
export const newKey = (...words) => aws("kms", "create-key", ...words, "--query", "KeyMetadata.Arn", "--output", "text");

// timed says how long something took, for TIMES=1.
function timed(what, began) {
  if (env.TIMES) console.error(`${((Date.now() - began) / 1000).toFixed(1)} s: ${what}`);
}

// within waits until what is asked for is so.
export async function within(seconds, what, ask) {
  const began = Date.now(), until = began + seconds * 1000;
  for (;;) {
    if (await ask()) return timed(what, began);
    assert.ok(Date.now() < until, `not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

let made = 0, key;
// project makes a project that nothing else is in. The API key that people sign in with owns it too; an owner of the
// organisation who is no owner of the project may only look.
export async function project(name, owned = true) {
  const { id } = await api("POST", "/api/atlas/v2/groups", { name: `${name} ${process.pid}.${++made}`, orgId: env.ORG_ID });
  key ??= (await api("GET", `/api/atlas/v2/orgs/${env.ORG_ID}/apiKeys`)).results.find((k) => k.publicKey === env.PUBLIC_KEY);
  if (owned) await api("PATCH", `/api/atlas/v2/groups/${id}/apiKeys/${key.id}`, { roles: ["GROUP_OWNER"] });
  return {
    id, page: (...parts) => ["/console/groups", id, ...parts].join("/"),
    api: (method, where, body) => api(method, `/api/atlas/v2/groups/${id}${where}`, body),
    own: (method, where, body) => api(method, `/api/latchkey/v1/groups/${id}${where}`, body),
  };
}

// roleFor makes an IAM role that may use every key, and has the project reach keys by it.
export async function roleFor(it, name) {
  const role = await it.api("POST", "/cloudProviderAccess", { providerName: "AWS" });
  const arn = aws("iam", "create-role", "--role-name", name, "--query", "Role.Arn", "--output", "text", "--assume-role-policy-document",
    JSON.stringify({ Version: "2012-10-17", Statement: [{
      Effect: "Allow", Principal: { AWS: role.atlasAWSAccountArn }, Action: "sts:AssumeRole",
      Condition: { StringEquals: { "sts:ExternalId": role.atlasAssumedRoleExternalId } },
    }] }));
  aws("iam", "put-role-policy", "--role-name", name, "--policy-name", "key", "--policy-document",
    JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: ["kms:Decrypt", "kms:Encrypt", "kms:DescribeKey"], Resource: "*" }] }));
  await it.api("PATCH", `/cloudProviderAccess/${role.roleId}`, { providerName: "AWS", iamAssumedRoleArn: arn });
  return { id: role.roleId, arn };
}

// encrypted makes a project whose key is in AWS.
export async function encrypted(name) {
  const it = await project(name);
  const role = await roleFor(it, `${name.replaceAll(" ", "-")}-${process.pid}`);
  const key = newKey();
  await it.api("PATCH", "/encryptionAtRest", { awsKms: { enabled: true, roleId: role.id, customerMasterKeyID: key, region: "US_EAST_1" } });
  return { ...it, role, key };
}

// cluster makes one of three nodes under the project's key in AWS, and waits until nothing is done to it any more.
export async function cluster(it, name, more = {}) {
  await it.api("POST", "/clusters", {
    name, clusterType: "REPLICASET", encryptionAtRestProvider: "AWS", backupEnabled: true, ...more,
    replicationSpecs: [{ regionConfigs: [{
      providerName: "AWS", regionName: "US_EAST_1", priority: 7, electableSpecs: { instanceSize: "M10", nodeCount: 3 },
    }] }],
  });
  await idle(it, name);
}
export const idle = (it, name) => within(90, `${name} is IDLE`, async () => (await it.api("GET", `/clusters/${name}`)).stateName === "IDLE");

// backedUp waits for what becomes of a cluster's snapshots and restores. They are looked at each minute, and at once when
// their schedule is changed; so it is, to what it is.
export async function backedUp(it, name, what, ask) {
  const schedule = `/clusters/${name}/backup/schedule`, { referenceHourOfDay } = await it.api("GET", schedule);
  await within(180, what, async () => {
    await it.api("PATCH", schedule, { referenceHourOfDay });
    return ask();
  });
}

// --- the browser ------------------------------------------------------------------------------------------------------

const secrets = new Set([env.PRIVATE_KEY, env.CLIENT_SECRET]);
// secret remembers what must never come back.
export function secret(value) { secrets.add(value); return value; }

let browser;
const contexts = [];
before(async () => {
  browser = await chromium.launch({ executablePath: env.CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"] });
});
after(async () => {
  try { for (const context of contexts) await clean(context); } finally { await browser.close(); }
});

// visitor is somebody with a browser of their own. What it must not meet is collected, and looked at in the end.
export async function visitor(options = {}) {
  const context = await browser.newContext({ viewport: wide, baseURL: base, reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC", ...options });
  context.setDefaultTimeout(30_000);
  context.wrong = [];
  context.answers = [];
  context.allowed = new Set();
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (e) => console.error(`refused by the content security policy: ${e.violatedDirective} ${e.blockedURI}`));
  });
  context.on("request", (r) => {
    if (!r.url().startsWith(base + "/")) context.wrong.push(`asks another origin: ${r.url()}`);
  });
  context.on("response", (r) => {
    if (r.status() >= 500) context.wrong.push(`${r.status()} of ${r.url()}`);
    context.answers.push(r.text().then((text) => leaked(text) && context.wrong.push(`a secret is in the answer of ${r.url()}`), () => {})); // a redirect has no body
  });
  context.on("page", (page) => {
    page.on("pageerror", (e) => context.wrong.push(`${page.url()}: ${e.message}`));
    page.on("console", (m) => {
      if (m.type() === "error" && !expected.test(m.text())) context.wrong.push(`${page.url()}: ${m.text()}`);
    });
  });
  contexts.push(context);
  const page = await context.newPage();
  return page;
}

// What the server refuses, with its reason on the page, the browser counts as an error of the network, and htmx a check
// that the next page cut short.
const expected = /^Failed to load resource: the server responded with a status of 4\d\d|^htmx:(sendAbort|afterRequest),/;

const leaked = (text) => [...secrets].some((s) => text.includes(s));

async function clean(context) {
  for (const page of context.pages()) {
    if (env.LAST) await page.screenshot({ path: path.join(shots, `last-${process.pid}-${contexts.indexOf(context)}.png`), fullPage: true });
    if (leaked(await page.content().catch(() => ""))) context.wrong.push(`a secret is in the page ${page.url()}`);
  }
  await Promise.all(context.answers);
  await context.close();
  assert.deepEqual(context.wrong, []);
}

// signedIn is a visitor who has signed in with the API key.
export async function signedIn(options) {
  const page = await visitor(options);
  await signIn(page);
  return page;
}
export async function signIn(page, name = env.PUBLIC_KEY, word = env.PRIVATE_KEY, labels = ["Public key", "Private key"]) {
  if (!page.url().includes("/sign-in")) await page.goto("/console/sign-in");
  await page.getByLabel(labels[0]).fill(name);
  await page.getByLabel(labels[1]).fill(word);
  await page.getByRole("button", { name: "Sign in" }).click();
}

// told waits for what the page says was done.
export const told = (page, text) => page.locator("#flash").getByText(text).waitFor();
// row is the row of a table whose heading has the text.
export const row = (page, text) => page.getByRole("row").filter({ has: page.getByRole("rowheader").filter({ hasText: text }) });
// fact is what a page says under a name.
export const fact = (scope, name) => scope.locator(`dl.facts > div:has(> dt:has-text("${name}")) > dd`).first();
// unfold opens what is folded in under a summary, unless it is open.
export async function unfold(page, summary) {
  const details = page.locator("details").filter({ has: page.locator("summary", { hasText: summary }) }).first();
  if (await details.getAttribute("open") === null) await details.locator("summary").first().click();
}
export const shown = (page, text) => page.getByText(text).first().waitFor();

// opened goes to a page and looks at it.
export async function opened(page, where, name) {
  const answer = await page.goto(where);
  assert.equal(answer.status(), 200, where);
  if (name) await look(page, name);
}

const looked = new Set();
// look demands of the page what is demanded of every page, in all four ways that it is looked at, and keeps pictures of it.
export async function look(page, name) {
  assert.ok(!looked.has(name), `${name} was looked at already`);
  looked.add(name);
  const began = Date.now();
  await page.evaluate(axe);
  const wrong = [];
  for (const [size, viewport] of [["desktop", wide], ["phone", narrow]]) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      const found = await page.evaluate((only) => window.axe.run(document, {
        runOnly: only ?? { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }, resultTypes: ["violations"],
      }).then(({ violations }) => violations.map((v) => ({ rule: v.id, nodes: v.nodes.map((n) => `${n.target}: ${n.failureSummary}`) }))),
      colorScheme === "dark" ? { type: "rule", values: ["color-contrast"] } : null);
      for (const v of found) wrong.push({ size, colorScheme, ...v });
      await page.screenshot({ path: path.join(shots, `${name}-${size}${colorScheme === "dark" ? "-dark" : ""}.png`), fullPage: true });
    }
    const [needs, has] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    if (needs > has) wrong.push({ size, rule: "no scrolling to the side", nodes: [`${needs} > ${has}`] });
  }
  await page.setViewportSize(wide);
  await page.emulateMedia({ colorScheme: "light" });
  if (leaked(await page.content())) wrong.push({ rule: "no secret", nodes: [page.url()] });
  timed(`the look at ${name}`, began);
  assert.deepEqual(wrong, [], name);
}

// switchToRole gives static credentials up for a role, as somebody does who reads what it means.
export async function switchToRole(page, it, name, label, roleId) {
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: `Switch to role-based access to ${name}` }).click();
  await page.getByText("This cannot be undone.").waitFor();
  await page.getByLabel(label, { exact: true }).selectOption({ value: roleId });
  await look(page, `${name.split(" ")[0].toLowerCase()}-switch`);
  const go = page.getByRole("button", { name: "Switch to role-based access" });
  await go.click();
  assert.ok(page.url().endsWith("/role"), "it was sent before it was understood");
  await page.getByLabel(/I understand that this cannot be undone/).check();
  await go.click();
  await shown(page, "Change of how the key is reached");
  const card = page.getByRole("region", { name, exact: true });
  await card.getByText("Finished", { exact: true }).waitFor({ timeout: 90_000 });
  await card.getByText("Valid", { exact: true }).waitFor();
  assert.equal(await page.getByRole("link", { name: `Switch to role-based access to ${name}` }).count(), 0);
  await page.getByRole("link", { name: `Edit ${name}` }).click(); // nothing leads back
  await page.getByLabel(label, { exact: true }).waitFor();
  assert.equal(await page.getByRole("navigation", { name: "How the key is reached" }).count(), 0);
  await page.goto(it.page("advanced"));
}
