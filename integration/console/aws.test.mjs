// A key in AWS KMS: with a role, with a user's keys, and from these to a role.
import { test } from "node:test";
import assert from "node:assert/strict";
import { aws, look, newKey, opened, paste, project, roleFor, save, secret, shown, signedIn, switchToRole, told } from "./driver.mjs";

const card = (page, name) => page.getByRole("region", { name, exact: true });
const text = (page, id) => page.locator(`#${id}`).innerText();

test("encryption is enabled with a role: every line that a page shows is pasted as it stands", async () => {
  const it = await project("aws role");
  const page = await signedIn();
  await opened(page, it.page("advanced"), "advanced-off");
  await page.getByRole("link", { name: /AWS KMS: Off ?. Turn it on/ }).click();
  await page.getByRole("heading", { level: 1 }).waitFor();
  await look(page, "aws-no-role");
  await page.getByRole("link", { name: "Create one" }).click();
  await look(page, "role-new");
  await page.getByRole("button", { name: "Continue" }).click();

  // The tenant makes the role with what the page shows.
  await page.locator("#trust-policy").waitFor();
  await look(page, "role-to-be-made");
  const name = `shown-${process.pid}`;
  save("role-trust-policy.json", await text(page, "trust-policy"));
  const answer = JSON.parse(paste((await text(page, "create-role")).replace("--role-name latchkey", `--role-name ${name}`)));
  const arn = page.getByLabel("ARN of the IAM role");
  await arn.fill("arn:aws:iam::x");
  await shown(page, "It must be the ARN of an IAM role");
  await arn.fill(answer.Role.Arn);
  await shown(page, `The role ${name} in the AWS account`);
  await page.getByRole("button", { name: "Validate and finish" }).click();
  await told(page, "The access role works, and is authorised.");

  // It leads back to the form of the key, with the role chosen.
  const role = page.getByLabel("AWS IAM role");
  assert.equal(await role.locator("option:checked").innerText(), answer.Role.Arn);
  const key = newKey();
  const id = page.getByLabel("Customer master key ID"), region = page.getByLabel("Customer master key Region");
  await id.pressSequentially("not a key!");
  await page.locator("[id$=-note] .bad").waitFor();
  await look(page, "aws-form-wrong");
  await id.fill(key);
  await shown(page, "Its Region is us-east-1");
  await region.selectOption({ value: "EU_WEST_1" });
  await shown(page, "this key has no replicas in others");
  await region.selectOption({ value: "US_EAST_1" });
  await page.locator("#permission-policy", { hasText: key }).waitFor();

  // Without the permission nothing is stored, and nothing that was typed is lost.
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").waitFor();
  assert.equal(await id.inputValue(), key);
  await look(page, "aws-refused");
  assert.equal((await it.api("GET", "/encryptionAtRest")).awsKms.enabled, false);
  save("key-policy.json", await text(page, "permission-policy"));
  paste(await text(page, "put-role-policy"));
  await page.getByRole("button", { name: "Save" }).click();
  await card(page, "AWS KMS").getByText("Valid", { exact: true }).waitFor();
  await look(page, "advanced-on");
  const { awsKms } = await it.api("GET", "/encryptionAtRest");
  assert.deepEqual([awsKms.enabled, awsKms.valid, awsKms.customerMasterKeyID, awsKms.region], [true, true, key, "US_EAST_1"]);

  await opened(page, it.page("roles"), "roles");
  await page.getByRole("link", { name: /^arn:.*role\/shown-/ }).click();
  await look(page, "role");
  await page.locator("#delete").click();
  await page.getByRole("dialog").getByText("It is in use").waitFor();
  await look(page, "role-delete");
});

test("a user's keys are entered once, and are replaced by a role for good", async () => {
  const it = await project("aws user");
  const user = `user-${process.pid}`;
  aws("iam", "create-user", "--user-name", user);
  aws("iam", "put-user-policy", "--user-name", user, "--policy-name", "key", "--policy-document",
    JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: ["kms:Decrypt", "kms:Encrypt", "kms:DescribeKey"], Resource: "*" }] }));
  const { AccessKey } = JSON.parse(aws("iam", "create-access-key", "--user-name", user, "--output", "json"));
  const key = newKey();
  const page = await signedIn();
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: /AWS KMS: Off ?. Turn it on/ }).click();
  await page.getByRole("link", { name: "Access keys of an IAM user" }).click();
  await page.getByLabel("Access key ID").fill(AccessKey.AccessKeyId);
  await page.getByLabel("Secret access key").fill(secret("wJalrXUtnFEMI-K7MDENG-thewrongone1234567"));
  await page.getByLabel("Customer master key ID").fill(key);
  await page.getByLabel("Customer master key Region").selectOption({ value: "US_EAST_1" });
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Secret access key").inputValue(), "");
  await look(page, "aws-user-refused");
  await page.getByLabel("Secret access key").fill(secret(AccessKey.SecretAccessKey));
  await page.getByRole("button", { name: "Save" }).click();
  await card(page, "AWS KMS").getByText("Valid", { exact: true }).waitFor();

  // The form that edits has no secret, and an empty one changes nothing.
  await page.getByRole("link", { name: "Edit AWS KMS" }).click();
  assert.equal(await page.getByLabel("Secret access key").inputValue(), "");
  await shown(page, "Leave it empty to keep the one that is stored.");
  await look(page, "aws-user-edit");
  await page.getByRole("button", { name: "Save" }).click();
  await shown(page, "Nothing was changed");
  await page.getByRole("link", { name: "Cancel" }).click();

  const role = await roleFor(it, `switch-${process.pid}`);
  await switchToRole(page, it, "AWS KMS", "AWS IAM role", role.id);
  assert.equal((await it.api("GET", "/encryptionAtRest")).awsKms.roleId, role.id);

  await page.getByRole("link", { name: /AWS KMS: On ?. Turn it off/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Turn off AWS KMS" }).waitFor();
  await look(page, "aws-off");
  await dialog.getByRole("button", { name: "Turn off AWS KMS" }).click();
  await told(page, "AWS KMS is off. Its configuration was removed.");
  assert.equal((await it.api("GET", "/encryptionAtRest")).awsKms.enabled, false);
});
