/** Against AWS's example of query string authentication: "Signing and authenticating REST requests", signature v2. */
import { expect, test } from "vitest";
import type { S3Error } from "../../../../emulator/s3/errors.ts";
import { queryOf, type S3Request } from "../../../../emulator/s3/request.ts";
import { checkPresignedV2, isPresignedV2 } from "../../../../emulator/s3/signature-v2.ts";
import { parseQuery } from "../../../../emulator/s3/uri.ts";

const SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const EXPIRES = 1_175_139_620;
const EXAMPLE = "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620";

function request(query: string, changed: Partial<S3Request> = {}): S3Request {
  return {
    method: "GET",
    bucket: "johnsmith",
    key: "photos/puppy.jpg",
    rawPath: "/photos/puppy.jpg",
    isBucketInHost: true,
    headers: {},
    query: queryOf(parseQuery(query)),
    ...changed,
  } as S3Request;
}

function verdict(of: S3Request, nowSeconds = EXPIRES - 10): string {
  try {
    checkPresignedV2(of, SECRET, nowSeconds * 1000);
    return "ok";
  } catch (error) {
    return (error as S3Error).code;
  }
}

test("AWS's example opens, until it ends", () => {
  expect(isPresignedV2(request(EXAMPLE))).toBe(true);
  expect(verdict(request(EXAMPLE))).toBe("ok");
  expect(verdict(request(EXAMPLE, { rawPath: "/johnsmith/photos/puppy.jpg", isBucketInHost: false }))).toBe("ok");
  expect(verdict(request(EXAMPLE), EXPIRES + 1)).toBe("AccessDenied");
});

test.each<[string, S3Request]>([
  ["another method", request(EXAMPLE, { method: "PUT" })],
  ["another key", request(EXAMPLE, { rawPath: "/photos/other.jpg" })],
  ["a later end", request(EXAMPLE.replace("1175139620", "1175139621"))],
  ["a parameter that is signed", request(`${EXAMPLE}&versionId=1`)],
  ["a header of Amazon's", request(EXAMPLE, { headers: { "x-amz-acl": "private" } })],
])("%s does not fit the signature", (_, of) => {
  expect(verdict(of)).toBe("SignatureDoesNotMatch");
});

test("an end that is no time has passed already", () => {
  expect(verdict(request(EXAMPLE.replace("1175139620", "never")))).toBe("AccessDenied");
});

test("parameters that nobody signs do not count", () => {
  expect(verdict(request(`${EXAMPLE}&x-id=GetObject`))).toBe("ok");
});

test("a URL without the three parameters is not of this kind", () => {
  expect(isPresignedV2(request("AWSAccessKeyId=a&Signature=b"))).toBe(false);
});
