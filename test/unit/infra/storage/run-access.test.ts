import { describe, expect, test } from "vitest";
import { Secret } from "../../../../common/secret.ts";
import type { Store } from "../../../../infra/storage/access.ts";
import { runAccess } from "../../../../infra/storage/run-access.ts";

const store: Store = {
  kind: "s3",
  endpoint: "https://s3.example.com",
  region: "eu-1",
  bucket: "my-bucket",
  prefix: "ck",
  isEmulated: false,
  keys: { accessKeyId: "OWN", secretAccessKey: new Secret("own"), sessionToken: null },
  profile: null,
  keysFrom: "AWS_ACCESS_KEY_ID, in the environment or .env",
};
const market = () => ({ url: "http://127.0.0.1:1", key: new Secret("account-key") });
const options = { runId: "dev/train", market, env: {} };

const FILE = {
  endpoint: "https://s3.example.com",
  region: "eu-1",
  bucket: "my-bucket",
  prefix: "ck/dev/train",
  sessionToken: null,
  pathStyle: null,
  emulated: false,
};

test("keys that a person made for machines are what the machine gets, without a word", async () => {
  const env = {
    VASTLANE_RUN_ACCESS_KEY_ID: "RUN",
    VASTLANE_RUN_SECRET_ACCESS_KEY: "run",
    VASTLANE_RUN_SESSION_TOKEN: "token",
  };
  expect(await runAccess(store, { ...options, env })).toEqual({
    file: { ...FILE, accessKeyId: "RUN", secretAccessKey: "run", sessionToken: "token" },
    warning: undefined,
  });
});

test("keys that the program made come before all others", async () => {
  const given = { accessKeyId: "GIVEN", secretAccessKey: new Secret("given"), sessionToken: null };
  const env = { VASTLANE_RUN_ACCESS_KEY_ID: "RUN", VASTLANE_RUN_SECRET_ACCESS_KEY: "run" };
  const { file } = await runAccess(store, { ...options, env, given });
  expect(file).toMatchObject({ accessKeyId: "GIVEN", secretAccessKey: "given" });
});

test("a person's own keys go with a warning that says how to make better ones", async () => {
  const { file, warning = "" } = await runAccess(store, options);
  expect(file).toMatchObject({ accessKeyId: "OWN", secretAccessKey: "own" });
  const [first, second, policy = ""] = warning.split("\n");
  expect(first).toBe(
    "the machine gets your own keys for my-bucket (AWS_ACCESS_KEY_ID, in the environment or .env); whoever runs the host can read them.",
  );
  expect(second).toContain("set VASTLANE_RUN_ACCESS_KEY_ID and VASTLANE_RUN_SECRET_ACCESS_KEY in .env");
  expect(JSON.parse(policy).Statement.map(({ Effect }: { Effect: string }) => Effect)).toEqual([
    "Allow",
    "Allow",
    "Deny",
  ]);
  expect(warning).not.toMatch(/\bown\b.*secret/);
});

describe("on the emulated market", () => {
  const emulated: Store = { ...store, endpoint: "http://127.0.0.1:9000", isEmulated: true };
  const answer = (status: number, body: string) => {
    const calls: { url: string; init: RequestInit }[] = [];
    const request = async (url: string | URL | Request, init: RequestInit = {}) => {
      calls.push({ url: String(url), init });
      return new Response(body, { status });
    };
    return { calls, fetch: request as typeof fetch };
  };

  test("the emulator makes keys for the run's prefix alone", async () => {
    const { calls, fetch } = answer(200, JSON.stringify({ accessKeyId: "EMURUN", secretAccessKey: "x" }));
    const { file, warning } = await runAccess(emulated, { ...options, fetch });
    expect(calls[0]?.url).toBe("http://127.0.0.1:1/_emulator/s3/keys");
    expect(calls[0]?.init).toMatchObject({
      method: "POST",
      headers: { authorization: "Bearer account-key" },
      body: '{"bucket":"my-bucket","prefix":"ck/dev/train"}',
    });
    expect(file).toMatchObject({ accessKeyId: "EMURUN", emulated: true, pathStyle: true });
    expect(warning).toBeUndefined();
  });

  test.each([
    [404, "no such route", "it answered 404: no such route"],
    [200, "{}", "its answer has no keys"],
  ])("an answer of %i %s is an error in words", async (status, body, why) => {
    await expect(runAccess(emulated, { ...options, ...answer(status, body) })).rejects.toMatchObject({
      code: "VL_EMULATOR_DOWN",
      what: "the emulator gives no keys for the run's store",
      why,
    });
  });
});
