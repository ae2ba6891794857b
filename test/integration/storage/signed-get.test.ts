/** Our own signature against servers that check it: the emulator's store and versitygw. */
import { CreateBucketCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Secret } from "../../../common/secret.ts";
import type { Store } from "../../../infra/storage/access.ts";
import { signedGet } from "../../../infra/storage/signed-get.ts";
import { clientOf, startEmulatedS3, startVersitygw, type TestS3 } from "../../helpers/s3.ts";

const KEYS = ["ck/run.json", "a b/c+d=e/ü!'()*.json", "run=1/x_y~z"];

describe.each<[string, () => Promise<TestS3 | { skip: string }>]>([
  ["the emulator's store", startEmulatedS3],
  ["versitygw", startVersitygw],
])("%s", (_name, start) => {
  let server: TestS3 | { skip: string };
  let store: Store;
  beforeAll(async () => {
    server = await start();
    if ("skip" in server) return;
    const { endpoint, region, accessKeyId, secretAccessKey } = server;
    const keys = { accessKeyId, secretAccessKey: new Secret(secretAccessKey), sessionToken: null };
    const place = { kind: "s3", endpoint, region, bucket: "my-bucket", prefix: "" } as const;
    store = { ...place, isEmulated: false, keys, profile: null, keysFrom: "the test" };
  }, 620_000);
  afterAll(async () => {
    if ("stop" in server) await server.stop();
  });

  test("gives what lies there, and says what does not", async (context) => {
    if ("skip" in server) return context.skip(server.skip);
    expect(await signedGet(store, "x")).toBe("no-bucket");
    const client = clientOf(server);
    await client.send(new CreateBucketCommand({ Bucket: "my-bucket" }));
    expect(await signedGet(store, "x")).toBe("no-key");
    for (const Key of KEYS) {
      const { ETag } = await client.send(new PutObjectCommand({ Bucket: "my-bucket", Key, Body: Key }));
      const got = await signedGet(store, Key);
      expect(got).toEqual({ body: new Uint8Array(Buffer.from(Key)), etag: ETag });
    }
    client.destroy();
  });

  test("leaves every refusal to the SDK", async (context) => {
    if ("skip" in server) return context.skip(server.skip);
    const keys = { accessKeyId: "nobody", secretAccessKey: new Secret("x"), sessionToken: null };
    expect(await signedGet({ ...store, keys }, "x")).toBeUndefined();
    expect(await signedGet({ ...store, keys: null }, "x")).toBeUndefined();
    expect(await signedGet({ ...store, endpoint: null }, "x")).toBeUndefined();
    expect(await signedGet({ ...store, endpoint: "http://127.0.0.1:9" }, "x")).toBeUndefined();
    expect(await signedGet(store, "x", new Date(0))).toBeUndefined();
  });
});
