import fc from "fast-check";
import { expect, test } from "vitest";
import { failureOf, interrupted, parseOurs } from "../../../cli/operation.ts";
import { ERROR_CODES, type ErrorCode, UserError } from "../../../common/errors.ts";

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
  [
    "Could not automatically download and install resource plugin 'pulumi-resource-aws' at version v7.48.0",
    "connect to the network, once: Pulumi fetches that plugin; or set vastlane:checkpoint.store to s3, which makes the same bucket on AWS without it",
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

test("when several machines fail, each of them is told once", () => {
  const one = "VL_NOT_READY: contract 5 is rented\n  why: no SSH\n  do:  run it again";
  const two = "VL_NO_OFFER: none of 3 offers fits\n  do:  widen it";
  expect(failed("", [one, one, two, "update failed"])).toBe(
    "VL_NOT_READY: contract 5 is rented\n  why: no SSH\n       also VL_NO_OFFER: none of 3 offers fits\n  do:  run it again",
  );
});

test("an error of ours survives the way through the engine, whatever stands around it", () => {
  const line = fc.stringMatching(/^[a-z`$][a-z0-9 :.,'`$/-]{0,40}[a-z]$/);
  const error = fc.record({
    code: fc.constantFrom(...(Object.keys(ERROR_CODES) as ErrorCode[])),
    what: line,
    why: fc.option(
      fc.array(line, { minLength: 1, maxLength: 3 }).map((lines) => lines.join("\n")),
      { nil: undefined },
    ),
    hint: fc.option(line, { nil: undefined }),
  });
  fc.assert(
    fc.property(error, fc.constantFrom("", "error: ", "creating main: "), ({ code, what, why, hint }, before) => {
      const sent = new UserError(code, { what, ...(why && { why }), ...(hint && { hint }) });
      expect(parseOurs(`${before}${sent.message}\n`)?.message).toBe(sent.message);
    }),
  );
});

test.each(["error: something else", "", "VL_: x", "a VL_NO_OFFER without a colon"])("%j is none of ours", (text) => {
  expect(parseOurs(text)).toBeUndefined();
});

test("what the engine adds behind the hint is left out", () => {
  const text = "VL_NO_CREDIT: no credit\n  why: it is 0\n  do:  add some\n\nResources:\n  2 unchanged";
  expect(parseOurs(text)).toMatchObject({ what: "no credit", why: "it is 0", hint: "add some" });
});
