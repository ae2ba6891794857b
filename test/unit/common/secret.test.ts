import { inspect } from "node:util";
import { expect, test } from "vitest";
import { Secret } from "../../../common/secret.ts";

const secret = new Secret("hunter2");

test.each([
  ["a template", `${secret}`],
  ["a concatenation", `x${secret}`],
  ["JSON", JSON.stringify({ secret })],
  ["console.log", inspect({ deep: [secret] }, { depth: 9, showHidden: true })],
  ["its keys", Object.keys(secret).join() + Object.getOwnPropertyNames(secret).join()],
  ["an error", new Error(`key ${secret}`).stack ?? ""],
])("%s does not show it", (_how, text) => {
  expect(text).not.toContain("hunter2");
});

test("reveal is the only way in", () => {
  expect(secret.reveal()).toBe("hunter2");
});
