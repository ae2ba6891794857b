import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseConfig } from "../../../../infra/config.ts";
import { describeStore, resolveStore, runPrefix, s3AccessOf } from "../../../../infra/storage/access.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-access-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const KEYS = { AWS_ACCESS_KEY_ID: "AKIA1", AWS_SECRET_ACCESS_KEY: "s3cr3t" };

function resolve(checkpoint: object, env: NodeJS.ProcessEnv = KEYS, market = "vast") {
  return resolveStore(parseConfig({ market, checkpoint: { s3_bucket: "my-bucket", ...checkpoint } }), root, env);
}

test("a stack without a store has none", () => {
  expect(resolve({ store: "none" })).toBeUndefined();
});

test("on AWS the keys are a person's own, and the prefix has no slash at either end", () => {
  const store = resolve({ store: "s3", s3_prefix: "/ck/dev/" });
  expect(store).toMatchObject({
    kind: "s3",
    endpoint: null,
    region: "us-east-1",
    bucket: "my-bucket",
    prefix: "ck/dev",
    isEmulated: false,
    profile: null,
    keysFrom: "AWS_ACCESS_KEY_ID, in the environment or .env",
  });
  expect(store && s3AccessOf(store)).toEqual({
    endpoint: null,
    region: "us-east-1",
    accessKeyId: "AKIA1",
    secretAccessKey: "s3cr3t",
    sessionToken: null,
  });
  expect(store && runPrefix(store, "dev/train")).toBe("ck/dev/dev/train");
});

test("a store can be printed without its keys", () => {
  const store = resolve({ store: "s3" }, { ...KEYS, AWS_SESSION_TOKEN: "t0k3n" });
  expect(`${JSON.stringify(store)} ${inspect(store)}`).not.toMatch(/s3cr3t|t0k3n/);
  expect(store && describeStore(store)).toBe("s3://my-bucket/checkpoints");
});

test.each<[string, object, NodeJS.ProcessEnv, string]>([
  ["the configuration's", { region: "eu-west-1" }, { ...KEYS, AWS_REGION: "us-west-2" }, "eu-west-1"],
  ["AWS_REGION", {}, { ...KEYS, AWS_REGION: "us-west-2", AWS_DEFAULT_REGION: "x" }, "us-west-2"],
  ["AWS_DEFAULT_REGION", {}, { ...KEYS, AWS_DEFAULT_REGION: "eu-north-1" }, "eu-north-1"],
])("the region is %s", (_, checkpoint, env, region) => {
  expect(resolve({ store: "aws", ...checkpoint }, env)?.region).toBe(region);
});

test("without keys AWS's own chain is asked, with the profile that is named", () => {
  expect(resolve({ store: "s3" }, {})).toMatchObject({ keys: null, profile: null });
  const store = resolve({ store: "s3" }, { AWS_PROFILE: "work" });
  expect(store).toMatchObject({ keys: null, profile: "work", keysFrom: "the AWS profile work" });
  expect(store && s3AccessOf(store)).toEqual({ endpoint: null, region: "us-east-1", profile: "work" });
});

test("half a pair of keys is refused with the name of the other half", () => {
  expect(() =>
    resolve({ store: "s3" }, { AWS_ACCESS_KEY_ID: "AKIA1" }),
  ).toThrow(`VL_STORE_NO_KEY: AWS_SECRET_ACCESS_KEY is not set
  why: AWS_ACCESS_KEY_ID is, in the environment or .env, and one is nothing without the other
  do:  set both, or neither`);
});

describe("the emulator's own store", () => {
  const S3 = { endpoint: "http://127.0.0.1:9000", accessKeyId: "EMU", secretAccessKey: "emu", region: "us-east-1" };
  const home = () => join(root, "home");
  const env = () => ({ ...KEYS, VASTLANE_EMULATOR_HOME: home() });
  const write = (s3: unknown) => {
    mkdirSync(home(), { recursive: true });
    writeFileSync(join(home(), "emulator.json"), JSON.stringify({ url: "http://127.0.0.1:1", apiKey: "k", s3 }));
  };

  test("has its own keys and never sees a person's", () => {
    write(S3);
    const store = resolve({ store: "s3" }, env(), "emulator");
    expect(store).toMatchObject({ endpoint: S3.endpoint, isEmulated: true });
    expect(store && s3AccessOf(store)).toMatchObject({ accessKeyId: "EMU", secretAccessKey: "emu" });
  });

  test("gives way to an endpoint that is named", () => {
    write(S3);
    const store = resolve({ store: "s3", endpoint: "https://s3.example.com/" }, env(), "emulator");
    expect(store).toMatchObject({ endpoint: "https://s3.example.com", isEmulated: false });
  });

  test("is missed in words: no emulator, and one without a store", () => {
    expect(() => resolve({ store: "s3" }, env(), "emulator")).toThrow("VL_EMULATOR_DOWN: this stack uses the emulated");
    write(null);
    expect(() =>
      resolve({ store: "s3" }, env(), "emulator"),
    ).toThrow(`VL_EMULATOR_DOWN: this stack keeps its checkpoints in the emulator's store, and the emulator has none
  why: ${join(home(), "emulator.json")} names no store; an older vastlane may have started it
  do:  npx vastlane emulator stop, then npx vastlane emulator start`);
  });
});
