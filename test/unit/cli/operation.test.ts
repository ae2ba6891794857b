import { expect, test } from "vitest";
import { failureOf, interrupted } from "../../../cli/operation.ts";

const failed = (output: string, errors: string[] = []) => failureOf({ output, errors }, "up", "dev").message;

test.each([
  [
    "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions",
    "choose where Pulumi keeps its state: npx pulumi login (Pulumi Cloud), or npx pulumi login --local",
  ],
  ["error: no stack named 'dev' found", "make it, once: npx pulumi stack init dev"],
  [
    "error: getting stack configuration: get stack secrets manager: passphrase must be set with PULUMI_CONFIG_PASSPHRASE",
    "export PULUMI_CONFIG_PASSPHRASE=... (a text of your choice; keep it: it protects secrets in the state)",
  ],
  ["error: incorrect passphrase", "export PULUMI_CONFIG_PASSPHRASE=... as it was when the stack was made"],
  ["error: something else", "run the command again; nothing is rented twice"],
])("the engine's %j comes with what to do", (output, hint) => {
  expect(failed(`${output}\n`)).toBe(`VL_PULUMI_FAILED: pulumi up failed\n  why: ${output}\n  do:  ${hint}`);
});

test("an error of ours is given back as it was, out of the engine's text", () => {
  const text = "creating: VL_NO_CREDIT: the account has no credit\n  why: it is 0\n  do:  add some";
  expect(failed("", ["update failed", text])).toBe(
    "VL_NO_CREDIT: the account has no credit\n  why: it is 0\n  do:  add some",
  );
});

test("Ctrl-C says what it left for the operation that it met", () => {
  expect(interrupted("up", "dev").message).toBe(
    "VL_CANCELLED: up was interrupted\n  why: whatever was rented so far is recorded and bills\n  do:  `vastlane up --stack dev` goes on, `vastlane destroy --stack dev` ends it",
  );
  expect(interrupted("destroy", "dev").message).toBe(
    "VL_CANCELLED: destroy was interrupted\n  why: whatever is not destroyed yet still bills\n  do:  `vastlane destroy --stack dev` goes on",
  );
  expect(interrupted("preview", "dev").message).toBe(
    "VL_CANCELLED: preview was interrupted\n  why: nothing was rented or destroyed\n  do:  run the command again",
  );
});
