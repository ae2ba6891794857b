import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ERROR_CODES } from "../../../common/errors.ts";
import { errorsPage, renderErrors } from "../../../scripts/errors.ts";

test("docs/errors.md is what `npm run errors` writes", () => {
  expect(readFileSync(errorsPage, "utf8")).toBe(renderErrors());
});

test("the codes are in alphabetical order and each is explained by a sentence", () => {
  const codes = Object.keys(ERROR_CODES);
  expect(codes).toEqual([...codes].sort());
  for (const sentence of Object.values(ERROR_CODES)) expect(sentence).toMatch(/^[A-Z].*\.$/);
});
