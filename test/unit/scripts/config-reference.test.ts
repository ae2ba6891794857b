import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { parseConfig } from "../../../infra/config.ts";
import { configKeys, configPage, renderConfig } from "../../../scripts/config-reference.ts";

const keys = configKeys();

test("docs/config.md is what `npm run config-reference` writes", () => {
  expect(readFileSync(configPage, "utf8")).toBe(renderConfig());
});

test("every key is explained by a sentence", () => {
  expect(keys.length).toBeGreaterThan(40);
  for (const { path, meaning } of keys) expect(`${path}: ${meaning}`).toMatch(/: [\w`].*\.$/);
});

/** What an example cannot stand without. */
const BESIDE: Record<string, object> = { "checkpoint.store": { s3_bucket: "my-bucket" } };

test.each(keys)("the example of $path is right", ({ path, example }) => {
  const [section = "", ...rest] = path.split(".");
  const value = rest.reduceRight<unknown>((inner, key) => ({ [key]: inner, ...BESIDE[path] }), example);
  expect(parseConfig({ [section]: value })).toMatchObject({ [section]: value });
});

test("the example at the top of the page is right", () => {
  const text = /```yaml\n([\s\S]*?)```/.exec(renderConfig())?.[1] ?? "";
  const { config } = parse(text) as { config: Record<string, unknown> };
  const entries = Object.entries(config).map(([key, value]) => [key.replace("vastlane:", ""), value]);
  expect(parseConfig(Object.fromEntries(entries))).toMatchObject({ rental: { maxPricePerHour: 0.5 } });
});
