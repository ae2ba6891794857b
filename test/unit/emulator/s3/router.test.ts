import { expect, test } from "vitest";
import { queryOf, type S3Request } from "../../../../emulator/s3/request.ts";
import { route } from "../../../../emulator/s3/router.ts";
import { parseQuery } from "../../../../emulator/s3/uri.ts";

function request(line: string, headers: Record<string, string> = {}): S3Request {
  const [method = "", target = ""] = line.split(" ");
  const [path = "", query = ""] = target.split("?");
  const [, bucket = "", key = ""] = /^\/([^/]*)\/?(.*)$/.exec(path) ?? [];
  return { method, bucket, key, query: queryOf(parseQuery(query)), headers } as unknown as S3Request;
}

test.each([
  ["GET /", "ListBuckets"],
  ["PUT /b", "CreateBucket"],
  ["GET /b", "ListObjects"],
  ["GET /b?list-type=2&prefix=x", "ListObjectsV2"],
  ["GET /b?versions", "ListObjectVersions"],
  ["GET /b?uploads", "ListMultipartUploads"],
  ["GET /b?location", "GetBucketLocation"],
  ["POST /b?delete", "DeleteObjects"],
  ["GET /b/k?versionId=1&x-id=GetObject", "GetObject"],
  ["HEAD /b/k", "HeadObject"],
  ["PUT /b/k", "PutObject"],
  ["POST /b/k?uploads", "CreateMultipartUpload"],
  ["PUT /b/k?partNumber=1&uploadId=u", "UploadPart"],
  ["POST /b/k?uploadId=u", "CompleteMultipartUpload"],
  ["GET /b/k?uploadId=u", "ListParts"],
  ["DELETE /b/k?uploadId=u", "AbortMultipartUpload"],
  ["DELETE /b/k", "DeleteObject"],
  ["GET /b/k?tagging", "GetObjectTagging"],
])("%s is %s", (line, name) => {
  expect(route(request(line)).name).toBe(name);
});

test("a source makes a copy of a write", () => {
  const headers = { "x-amz-copy-source": "/b/other" };
  expect(route(request("PUT /b/k", headers)).name).toBe("CopyObject");
  expect(route(request("PUT /b/k?partNumber=1&uploadId=u", headers)).name).toBe("UploadPartCopy");
});

test.each(["GET /b?lifecycle", "PUT /b?encryption", "GET /b?publicAccessBlock", "PUT /b?policy", "GET /b/k?acl"])(
  "%s is named as not implemented",
  (line) => {
    expect(() => route(request(line))).toThrow(/does not have the subresource/);
  },
);

test("a method that fits nothing is refused", () => {
  expect(() => route(request("POST /b/k"))).toThrow("not allowed");
  expect(() => route(request("PATCH /b"))).toThrow("not allowed");
});
