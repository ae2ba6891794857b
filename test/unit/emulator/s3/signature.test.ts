/** Against the examples that AWS publishes: "Signature Calculations ... Examples" of the Amazon S3 API reference. */
import { describe, expect, test } from "vitest";
import {
  canonicalText,
  chunkText,
  EMPTY_SHA256,
  formatTimestamp,
  isSame,
  parseTimestamp,
  sha256,
  signatureOf,
  signingKey,
  textToSign,
} from "../../../../emulator/s3/signature.ts";

const SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SCOPE = { date: "20130524", region: "us-east-1", service: "s3" };
const TIME = "20130524T000000Z";
const HOST = ["host", "examplebucket.s3.amazonaws.com"] as const;
const key = signingKey(SECRET, SCOPE);
const signed = (canonical: string) => signatureOf(key, textToSign(TIME, SCOPE, canonical));

describe("AWS's examples", () => {
  test("GET of a range", () => {
    const canonical = canonicalText({
      method: "GET",
      path: "/test.txt",
      query: [],
      headers: [HOST, ["range", "bytes=0-9"], ["x-amz-content-sha256", EMPTY_SHA256], ["x-amz-date", TIME]],
      payload: EMPTY_SHA256,
    });
    expect(sha256(canonical)).toBe("7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
    expect(signed(canonical)).toBe("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  });

  test("PUT of a key with a dollar sign", () => {
    const payload = sha256("Welcome to Amazon S3.");
    const canonical = canonicalText({
      method: "PUT",
      path: "/test$file.text",
      query: [],
      headers: [
        ["date", "Fri, 24 May 2013 00:00:00 GMT"],
        HOST,
        ["x-amz-content-sha256", payload],
        ["x-amz-date", TIME],
        ["x-amz-storage-class", "REDUCED_REDUNDANCY"],
      ],
      payload,
    });
    expect(signed(canonical)).toBe("98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
  });

  test.each([
    [
      "a parameter without a value",
      [["lifecycle", ""]],
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ],
    [
      "parameters in another order",
      [
        ["prefix", "J"],
        ["max-keys", "2"],
      ],
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ],
  ] as [string, [string, string][], string][])("GET with %s", (_, query, signature) => {
    const headers = [HOST, ["x-amz-content-sha256", EMPTY_SHA256], ["x-amz-date", TIME]] as const;
    expect(signed(canonicalText({ method: "GET", path: "/", query, headers, payload: EMPTY_SHA256 }))).toBe(signature);
  });

  test("a presigned GET", () => {
    const query = [
      ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
      ["X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"],
      ["X-Amz-Date", TIME],
      ["X-Amz-Expires", "86400"],
      ["X-Amz-SignedHeaders", "host"],
    ] as const;
    const canonical = canonicalText({
      method: "GET",
      path: "/test.txt",
      query,
      headers: [HOST],
      payload: "UNSIGNED-PAYLOAD",
    });
    expect(signed(canonical)).toBe("aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
  });

  test("a body in chunks: the request, 64 KiB, 1 KiB and the last chunk", () => {
    const seed = signed(
      canonicalText({
        method: "PUT",
        path: "/examplebucket/chunkObject.txt",
        query: [],
        headers: [
          ["content-encoding", "aws-chunked"],
          ["content-length", "66824"],
          ["host", "s3.amazonaws.com"],
          ["x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"],
          ["x-amz-date", TIME],
          ["x-amz-decoded-content-length", "66560"],
          ["x-amz-storage-class", "REDUCED_REDUNDANCY"],
        ],
        payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
      }),
    );
    expect(seed).toBe("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
    const chunks = [65_536, 1024, 0].map((size) => sha256("a".repeat(size)));
    const found: string[] = [];
    for (const hash of chunks) found.push(signatureOf(key, chunkText(TIME, SCOPE, found.at(-1) ?? seed, hash)));
    expect(found).toEqual([
      "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
      "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
      "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]);
  });
});

test("times are read and written in Amazon's form, and nothing else is", () => {
  expect(parseTimestamp(TIME)).toBe(Date.UTC(2013, 4, 24));
  expect(formatTimestamp(Date.UTC(2013, 4, 24))).toBe(TIME);
  for (const text of ["", "20130524", "2013-05-24T00:00:00Z", "20131324T000000Z"])
    expect(parseTimestamp(text)).toBeUndefined();
});

test("signatures of different lengths are not the same", () => {
  expect([isSame("ab", "ab"), isSame("ab", "ac"), isSame("ab", "abc"), isSame("", "ü")]).toEqual([
    true,
    false,
    false,
    false,
  ]);
});
