import { expect, test } from "vitest";
import { findSecrets, secretsFingerprint } from "../../../../infra/deploy/secrets.ts";

test("Pulumi's secret configuration comes before the environment", () => {
  const found = findSecrets(["A", "B"], { A: "1", B: "2" }, (name) => name === "B");
  expect(found).toEqual({ here: { A: "1" }, inConfig: ["B"] });
});

test("an empty value is a value", () => {
  expect(findSecrets(["A"], { A: "" }, () => false).here).toEqual({ A: "" });
});

test("all secrets without a value are named at once, with where to put them", () => {
  expect(() => findSecrets(["A", "HF_TOKEN", "WANDB_API_KEY"], { A: "1" }, () => false)).toThrow(
    `VL_BAD_CONFIG: no value for the secrets HF_TOKEN, WANDB_API_KEY
  why: vastlane:secrets names them, and neither the environment, .env nor the stack's secret configuration has them
  do:  put HF_TOKEN=... into .env, or run \`pulumi config set --secret vastlane:HF_TOKEN\``,
  );
});

test("the fingerprint changes with a value and with the key, and not with the order", () => {
  const print = secretsFingerprint({ A: "1", B: "2" }, "k");
  expect(secretsFingerprint({ B: "2", A: "1" }, "k")).toBe(print);
  expect(secretsFingerprint({ A: "1", B: "3" }, "k")).not.toBe(print);
  expect(secretsFingerprint({ A: "1", B: "2" }, "other")).not.toBe(print);
  expect(print).toMatch(/^[0-9a-f]{8}$/);
});
