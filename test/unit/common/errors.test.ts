import { expect, test } from "vitest";
import { Bug, formatError, hasCode, messageOf, UserError } from "../../../common/errors.ts";

test("a person reads what happened, why, and what to do", () => {
  const cause = new Error("inner");
  const error = new UserError("VL_NO_KEY", { what: "no key", why: "none is set", hint: "set one", cause });
  expect(error.message).toBe("VL_NO_KEY: no key\n  why: none is set\n  do:  set one");
  expect(error).toMatchObject({
    name: "UserError",
    code: "VL_NO_KEY",
    what: "no key",
    why: "none is set",
    hint: "set one",
  });
  expect(error.cause).toBe(cause);
});

test("what is not known is left out", () => {
  expect(formatError("VL_USAGE", { what: "no" })).toBe("VL_USAGE: no");
  expect(formatError("VL_USAGE", { what: "no", hint: "do it" })).toBe("VL_USAGE: no\n  do:  do it");
  expect("cause" in new UserError("VL_USAGE", { what: "no" })).toBe(false);
});

test("further lines start below the first one's text", () => {
  expect(formatError("VL_USAGE", { what: "no", why: "one\ntwo", hint: "a\nb" })).toBe(
    "VL_USAGE: no\n  why: one\n       two\n  do:  a\n       b",
  );
});

test("a broken invariant says that it is ours", () => {
  expect(new Bug("no such state")).toMatchObject({ name: "Bug", message: "internal: no such state" });
});

test.each([
  [new Error("a"), "a"],
  ["text", "text"],
  [undefined, "undefined"],
])("the message of %s", (thrown, message) => {
  expect(messageOf(thrown)).toBe(message);
});

test("an error is known by its code, and what is no error of ours has none", () => {
  const error = new UserError("VL_USAGE", { what: "wrong" });
  expect(hasCode(error, "VL_USAGE")).toBe(true);
  expect(hasCode(error, "VL_LOCKED")).toBe(false);
  expect(hasCode(Object.assign(new Error("no"), { code: "VL_USAGE" }), "VL_USAGE")).toBe(false);
  expect(hasCode(undefined, "VL_USAGE")).toBe(false);
});
