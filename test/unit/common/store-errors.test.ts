import { expect, test } from "vitest";
import { UserError } from "../../../common/errors.ts";
import { hasNotArrived, isTransient, storeErrorOf } from "../../../common/store-errors.ts";

const context = { bucket: "runs", endpoint: "http://127.0.0.1:9000", region: "us-east-1", action: "writing a.json" };

/** An error as the SDK gives it. */
const answer = (name: string, status: number, more: object = {}, message = "Words of the store") =>
  Object.assign(new Error(message), { name, $metadata: { httpStatusCode: status }, ...more });
const network = (code: string) => Object.assign(new Error(`connect ${code} 127.0.0.1:9000`), { code });

test.each([
  ["AccessDenied", 403, "VL_STORE_DENIED"],
  ["InvalidAccessKeyId", 403, "VL_STORE_DENIED"],
  ["SignatureDoesNotMatch", 403, "VL_STORE_DENIED"],
  ["ExpiredToken", 400, "VL_STORE_DENIED"],
  ["403", 403, "VL_STORE_DENIED"],
  ["NoSuchBucket", 404, "VL_STORE_NO_BUCKET"],
  ["PermanentRedirect", 301, "VL_STORE_REGION"],
  ["AuthorizationHeaderMalformed", 400, "VL_STORE_REGION"],
  ["RequestTimeTooSkewed", 403, "VL_STORE_CLOCK"],
  ["BucketAlreadyExists", 409, "VL_BUCKET_REFUSED"],
  ["InvalidBucketName", 400, "VL_BUCKET_REFUSED"],
  ["InternalError", 500, "VL_STORE_DOWN"],
  ["SlowDown", 503, "VL_STORE_DOWN"],
  ["UnknownError", 502, "VL_STORE_DOWN"],
  ["NotImplemented", 501, "VL_STORE_FAILED"],
  ["InvalidRequest", 400, "VL_STORE_FAILED"],
  ["XMinioStorageFull", 507, "VL_DISK_FULL"],
])("%s with status %i is %s", (name, status, code) => {
  expect(storeErrorOf(answer(name, status), context).code).toBe(code);
});

test.each([
  ["ECONNREFUSED", "VL_STORE_DOWN"],
  ["ENOTFOUND", "VL_STORE_DOWN"],
  ["ECONNRESET", "VL_STORE_DOWN"],
  ["CERT_HAS_EXPIRED", "VL_STORE_DOWN"],
  ["ENOSPC", "VL_DISK_FULL"],
  ["EDQUOT", "VL_DISK_FULL"],
])("%s is %s", (errno, code) => {
  expect(storeErrorOf(network(errno), context).code).toBe(code);
  expect(storeErrorOf(new Error("outer", { cause: network(errno) }), context).code).toBe(code);
});

test("refused keys are said with the store's words and where keys come from", () => {
  expect(storeErrorOf(answer("AccessDenied", 403), context).message).toMatchInlineSnapshot(`
    "VL_STORE_DENIED: The store at http://127.0.0.1:9000 refuses writing a.json.
      why: Words of the store (AccessDenied).
      do:  check the keys (AWS_ACCESS_KEY_ID, AWS profiles and roles) and that they may list, read and write bucket runs"
  `);
});

test("expired keys are said as such", () => {
  const text = storeErrorOf(answer("ExpiredToken", 400), { ...context, keysFrom: "Pulumi config" }).message;
  expect(text).toMatchInlineSnapshot(`
    "VL_STORE_DENIED: The store at http://127.0.0.1:9000 refuses writing a.json.
      why: the keys have expired.
      do:  get new keys (for SSO: aws sso login), then try again; keys are read from Pulumi config"
  `);
});

test("a missing bucket is named", () => {
  expect(storeErrorOf(answer("NoSuchBucket", 404), context).message).toMatchInlineSnapshot(`
    "VL_STORE_NO_BUCKET: Bucket runs does not exist at http://127.0.0.1:9000.
      why: writing a.json needs it.
      do:  correct vastlane:checkpoint.s3_bucket, or let \`vastlane up\` make the bucket"
  `);
});

test.each([
  ["in a header", { $response: { headers: { "x-amz-bucket-region": "eu-west-1" } } }],
  ["in the body", { Region: "eu-west-1" }],
])("the right region is named when the answer has it %s", (_where, more) => {
  expect(storeErrorOf(answer("AuthorizationHeaderMalformed", 400, more), context).message).toMatchInlineSnapshot(`
    "VL_STORE_REGION: Bucket runs is in region eu-west-1, not in us-east-1.
      why: a store answers only in the bucket's own region.
      do:  set vastlane:checkpoint.region (or AWS_REGION) to eu-west-1"
  `);
});

test("an unknown region of AWS is said", () => {
  expect(storeErrorOf(new Error("Region is missing"), { bucket: "runs" }).message).toMatchInlineSnapshot(`
    "VL_STORE_REGION: The region of bucket runs is not known.
      why: neither AWS_REGION nor the AWS profile names one.
      do:  set AWS_REGION to the bucket's region"
  `);
});

test("a wrong clock is said", () => {
  expect(storeErrorOf(answer("RequestTimeTooSkewed", 403), context).message).toMatchInlineSnapshot(`
    "VL_STORE_CLOCK: The store at http://127.0.0.1:9000 refuses requests because of the time in them.
      why: Words of the store (RequestTimeTooSkewed).
      do:  set this computer's clock (timedatectl set-ntp true), then try again"
  `);
});

test("a store that cannot be reached is said with what was wanted of it", () => {
  expect(storeErrorOf(network("ECONNREFUSED"), context).message).toMatchInlineSnapshot(`
    "VL_STORE_DOWN: The store at http://127.0.0.1:9000 cannot be reached or does not answer as it should.
      why: writing a.json: connect ECONNREFUSED 127.0.0.1:9000.
      do:  try again later; nothing that was stored is lost"
  `);
  expect(storeErrorOf(answer("503", 503, {}, "UnknownError"), { bucket: "runs" }).message).toMatchInlineSnapshot(`
    "VL_STORE_DOWN: The store of bucket runs cannot be reached or does not answer as it should.
      why: it answered 503.
      do:  try again later; nothing that was stored is lost"
  `);
});

test("missing keys are said", () => {
  const error = Object.assign(new Error("Could not load credentials from any providers"), {
    name: "CredentialsProviderError",
  });
  expect(storeErrorOf(error, context).message).toMatchInlineSnapshot(`
    "VL_STORE_NO_KEY: No keys for bucket runs at http://127.0.0.1:9000 were found.
      why: looked in AWS_ACCESS_KEY_ID, AWS profiles and roles.
      do:  set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
  `);
});

test("a refused bucket is said", () => {
  expect(storeErrorOf(answer("BucketAlreadyExists", 409), context).message).toMatchInlineSnapshot(`
    "VL_BUCKET_REFUSED: The store at http://127.0.0.1:9000 refuses bucket runs.
      why: Words of the store (BucketAlreadyExists).
      do:  choose another name: 3 to 63 characters of a-z, 0-9 and -, and nobody else's"
  `);
});

test("a full disk is told from a full store", () => {
  expect(storeErrorOf(network("ENOSPC"), context).what).toBe("The disk is full: writing a.json stopped.");
  expect(storeErrorOf(answer("InsufficientStorage", 507), context).what).toBe(
    "The disk of the store at http://127.0.0.1:9000 is full.",
  );
});

test("anything else is said with the store's words", () => {
  expect(storeErrorOf(answer("NotImplemented", 501), context).message).toMatchInlineSnapshot(`
    "VL_STORE_FAILED: The store at http://127.0.0.1:9000 did not do writing a.json.
      why: Words of the store (NotImplemented).
      do:  the store may lack this function of S3: its documentation says"
  `);
});

test("an error that people can read already stays as it is", () => {
  const error = new UserError("VL_USAGE", { what: "no" });
  expect(storeErrorOf(error, context)).toBe(error);
});

test("what may pass by itself is told from what does not", () => {
  for (const error of [answer("SlowDown", 503), answer("InternalError", 500), network("ECONNRESET")]) {
    expect(isTransient(error)).toBe(true);
  }
  expect(isTransient(Object.assign(new Error("slow"), { name: "TimeoutError" }))).toBe(true);
  for (const error of [answer("AccessDenied", 403), answer("NotImplemented", 501), network("ENOSPC")]) {
    expect(isTransient(error)).toBe(false);
  }
});

test("a request that has certainly done nothing is told from one that may have", () => {
  expect(hasNotArrived(network("ECONNREFUSED"))).toBe(true);
  expect(hasNotArrived(answer("SlowDown", 503))).toBe(true);
  expect(hasNotArrived(network("ECONNRESET"))).toBe(false);
  expect(hasNotArrived(answer("InternalError", 500))).toBe(false);
});
