/** What a store can say to the bucket's handlers, by a server that says it: AWS's own answers cannot be had here. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Secret } from "../../../common/secret.ts";
import type { Store } from "../../../infra/storage/access.ts";
import { ownerOf } from "../../../infra/storage/aws-owner.ts";
import { type BucketInputs, bucketHandlers } from "../../../infra/storage/bucket-handlers.ts";
import { fakeClock } from "../../helpers/fake-clock.ts";

interface Answer {
  status: number;
  code?: string;
  message?: string;
  extra?: string;
}

let server: Server;
let endpoint: string;
let folder: string;
let asked: string[];
let answerTo: (call: string) => Answer;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "vastlane-refusals-"));
  asked = [];
  server = createServer((request, response) => {
    const call = nameOf(request);
    asked.push(call);
    const { status, code, message = "", extra = "" } = answerTo(call);
    request.resume().on("end", () => {
      response.writeHead(status, { "content-type": "application/xml" });
      const error = `<Error><Code>${code}</Code><Message>${message}</Message>${extra}</Error>`;
      response.end(code ? `<?xml version="1.0"?>${error}` : "");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});

/** `PUT versioning`, `GET list`, `PUT bucket`. */
function nameOf({ method, url = "" }: IncomingMessage): string {
  const query = new URL(url, "http://store").searchParams;
  const names = ["list-type", "versioning", "publicAccessBlock", "encryption", "policy", "lifecycle", "tagging"];
  const name = names.find((it) => query.has(it)) ?? "bucket";
  return `${method} ${name === "list-type" ? "list" : name}`;
}

const inputs = (): BucketInputs => ({
  stack: "t",
  market: "vast",
  bucket: "my-bucket",
  endpoint,
  region: null,
  oldVersionDays: 30,
});

function create() {
  const env = { AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "secret" };
  return bucketHandlers({ root: folder, stateDir: folder, env, clock: fakeClock() }).create(inputs());
}

const MISSING: Answer = { status: 404, code: "NoSuchBucket" };

test("a bucket of somebody else is refused by name, and nothing is made", async () => {
  answerTo = () => ({ status: 403, code: "AccessDenied", message: "Access Denied" });
  await expect(create()).rejects.toMatchObject({
    code: "VL_BUCKET_REFUSED",
    what: `bucket my-bucket at ${endpoint} exists, and these keys may not list it`,
    why: "it belongs to somebody else (names are shared by all customers of a store), or its policy keeps AWS_ACCESS_KEY_ID, in the environment or .env out",
    hint: "choose another vastlane:checkpoint.s3_bucket, or allow s3:ListBucket, s3:GetObject and s3:PutObject on s3://my-bucket",
  });
  expect(asked).toEqual(["GET list"]);
});

test.each([
  ["a wrong key", { status: 403, code: "InvalidAccessKeyId" }, "VL_STORE_DENIED"],
  ["a wrong secret", { status: 403, code: "SignatureDoesNotMatch" }, "VL_STORE_DENIED"],
  ["an expired token", { status: 400, code: "ExpiredToken" }, "VL_STORE_DENIED"],
  ["another region", { status: 301, code: "PermanentRedirect" }, "VL_STORE_REGION"],
  ["a wrong clock", { status: 403, code: "RequestTimeTooSkewed" }, "VL_STORE_CLOCK"],
])("%s is told as what it is", async (_, answer: Answer, code) => {
  answerTo = () => answer;
  await expect(create()).rejects.toMatchObject({ code });
  expect(new Set(asked)).toEqual(new Set(["GET list"]));
});

test.each(["BucketAlreadyExists", "InvalidBucketName", "TooManyBuckets", "InvalidLocationConstraint"])(
  "%s at the creation is a refusal with a way out",
  async (code) => {
    answerTo = (call) => (call === "GET list" ? MISSING : { status: 409, code, message: "No." });
    await expect(create()).rejects.toMatchObject({ code: "VL_BUCKET_REFUSED" });
  },
);

test("settings that the endpoint does not have are named, and the bucket is made all the same", async () => {
  answerTo = (call) => {
    if (call === "GET list") return MISSING;
    if (call === "PUT lifecycle") return { status: 501, code: "NotImplemented" };
    if (call === "PUT encryption") return { status: 405, code: "MethodNotAllowed" };
    return { status: 200 };
  };
  const { outs } = await create();
  expect(outs.created).toBe(true);
  expect(outs.settings).toMatchObject({ versioning: "on", lifecycle: "unsupported", encryption: "unsupported" });
  expect(outs.lacks).toEqual(["bucket my-bucket: the endpoint does not support encryption, lifecycle"]);
  const handlers = bucketHandlers({ root: folder, stateDir: folder, env: {} });
  expect((await handlers.diff("", outs, inputs())).changes).toBe(false);
});

test("settings that the keys may not make are named, and what failed for now is tried again by the next up", async () => {
  answerTo = (call) => {
    if (call === "GET list") return MISSING;
    if (call === "PUT publicAccessBlock") return { status: 403, code: "AccessDenied" };
    if (call === "PUT versioning") return { status: 409, code: "OperationAborted" };
    return { status: 200 };
  };
  const { outs } = await create();
  expect(outs.lacks).toEqual([
    "bucket my-bucket: the keys may not set public access block",
    "bucket my-bucket: versioning could not be set; the next `up` tries again",
  ]);
  const handlers = bucketHandlers({ root: folder, stateDir: folder, env: {} });
  expect((await handlers.diff("", outs, inputs())).changes).toBe(true);
});

test("a bucket that is not yet known everywhere, and changes that get in each other's way, are waited for", async () => {
  let calls = 0;
  answerTo = (call) => {
    if (call === "GET list") return MISSING;
    if (call === "PUT versioning" && ++calls < 3) return MISSING;
    if (call === "PUT encryption" && ++calls < 6) return { status: 409, code: "OperationAborted" };
    return { status: 200 };
  };
  const { outs } = await create();
  expect(outs.settings).toMatchObject({ versioning: "on", encryption: "on" });
  expect(outs.lacks).toEqual([]);
});

test("over plain HTTP no policy is set that would lock everybody out", async () => {
  answerTo = (call) => (call === "GET list" ? MISSING : { status: 200 });
  await create();
  expect(asked).not.toContain("PUT policy");
});

test("tags that may not be read are an error, never somebody else's bucket", async () => {
  answerTo = (call) => (call === "GET tagging" ? { status: 403, code: "AccessDenied" } : { status: 200 });
  const store: Store = {
    kind: "aws",
    endpoint,
    region: "us-east-1",
    bucket: "my-bucket",
    prefix: "",
    isEmulated: false,
    keys: { accessKeyId: "id", secretAccessKey: new Secret("secret"), sessionToken: null },
    profile: null,
    keysFrom: "the test's keys",
  };
  await expect(ownerOf(store, "vastlane/dev")).rejects.toMatchObject({
    code: "VL_STORE_DENIED",
    what: "it cannot be told whose bucket my-bucket is",
    why: "its tags may not be read with the test's keys",
    hint: "allow s3:GetBucketTagging, or use the bucket through vastlane:checkpoint.store: s3, which needs no tags",
  });
});
