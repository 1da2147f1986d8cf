// Signing in and out, the pickers of organisation and project, and what a first visit costs.
import { test } from "node:test";
import assert from "node:assert/strict";
import { env, look, opened, project, secret, shown, signIn, signedIn, visitor } from "./driver.mjs";

test("an API key signs in, and the page that was asked for is the next one", async () => {
  const it = await project("wanted");
  const page = await visitor();
  await page.goto(it.page("clusters"));
  assert.match(page.url(), /\/console\/sign-in/);
  await look(page, "sign-in");
  await signIn(page);
  await page.waitForURL("**" + it.page("clusters"));
  await page.getByRole("heading", { level: 1, name: "Clusters" }).waitFor();
});

test("a service account signs in", async () => {
  const page = await visitor();
  await page.goto("/console/sign-in");
  await page.getByRole("link", { name: "Service account" }).click();
  await page.getByLabel("Client ID").waitFor();
  await look(page, "sign-in-service-account");
  await signIn(page, env.CLIENT_ID, env.CLIENT_SECRET, ["Client ID", "Client secret"]);
  await page.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
});

test("a wrong key signs nobody in, and what was typed as a secret does not come back", async () => {
  const page = await visitor();
  await signIn(page, env.PUBLIC_KEY, secret("0b7d2c1e-not-the-key-71d2"));
  const alert = page.getByRole("alert");
  await alert.getByText("Nobody was signed in").waitFor();
  assert.ok(await alert.evaluate((e) => e === document.activeElement), "the reason has no focus");
  assert.equal(await page.getByLabel("Public key").inputValue(), env.PUBLIC_KEY);
  assert.equal(await page.getByLabel("Private key").inputValue(), "");
  await look(page, "sign-in-refused");
  await page.goto("/console/groups");
  assert.match(page.url(), /\/console\/sign-in/);
});

test("who signs out is out, and the way back leads to the sign-in", async () => {
  const page = await signedIn();
  await page.goto("/console/groups");
  await page.getByRole("button", { name: "Sign out" }).click();
  await shown(page, "You are signed out.");
  await page.goBack();
  await page.waitForURL("**/console/sign-in**");
  assert.deepEqual(await page.context().cookies().then((all) => all.filter((c) => /session/i.test(c.name) && c.value)), []);
});

test("the organisation and the project are chosen in the bar", async () => {
  const it = await project("picked");
  const page = await signedIn();
  await opened(page, it.page(), "overview-empty");
  await page.getByRole("navigation", { name: "Organisation and project" }).getByRole("link", { name: "Organisation" }).click();
  await page.getByRole("heading", { level: 1, name: "Organisations" }).waitFor();
  await look(page, "organisations");
  await page.getByRole("rowheader").first().getByRole("link").click();
  await page.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
  await look(page, "projects");
  await page.getByRole("link", { name: /^picked/ }).first().click();
  await page.getByRole("heading", { level: 1 }).waitFor();
  assert.ok(page.url().endsWith(it.page()), page.url());
});

test("the first visit is light, and the first page after the sign-in is one request", async () => {
  const page = await visitor();
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Network.enable");
  let bytes = 0;
  cdp.on("Network.loadingFinished", (e) => { bytes += e.encodedDataLength; });
  await page.goto("/console/sign-in", { waitUntil: "networkidle" });
  const asked = [];
  page.on("request", (r) => asked.push(`${r.method()} ${new URL(r.url()).pathname}`));
  await signIn(page);
  await page.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
  await page.waitForLoadState("networkidle");
  assert.ok(bytes < 150_000, `the first visit was ${bytes} bytes`);
  const pages = asked.filter((a) => !a.includes("/assets/"));
  assert.deepEqual(pages, ["POST /console/sign-in", "GET /console/groups"], asked.join("\n"));
});

test("a page that is not there says so, and one of nobody's too", async () => {
  const page = await signedIn();
  for (const [name, where] of [["not-found", "/console/nothing"], ["no-such-project", "/console/groups/0123456789abcdef01234567"]]) {
    const answer = await page.goto(where);
    assert.ok(answer.status() >= 400 && answer.status() < 500, `${where}: ${answer.status()}`);
    await look(page, name);
  }
});
