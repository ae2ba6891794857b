/** Requests as the emulated store reads them, without a socket: for tests of its pure parts. */
import type { IncomingMessage } from "node:http";
import type { Keyring } from "../../emulator/s3/keys.ts";
import { readRequest, type S3Request } from "../../emulator/s3/request.ts";

/** Key, secret, bucket and time of all examples in AWS's documentation of signatures. */
export const EXAMPLE = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  timestamp: "20130524T000000Z",
  timeMs: Date.UTC(2013, 4, 24),
  scope: { date: "20130524", region: "us-east-1", service: "s3" },
};

export const EXAMPLE_KEYS: Pick<Keyring, "find"> = {
  find: (id) =>
    id === EXAMPLE.accessKeyId
      ? { accessKeyId: EXAMPLE.accessKeyId, secretAccessKey: EXAMPLE.secretAccessKey, grant: null }
      : undefined,
};

/** A request as it comes over the wire: the encoded path with its query, header names in any case. */
export function requestOf(
  method: string,
  url: string,
  headers: Record<string, string>,
  pieces: Buffer[] = [],
): S3Request {
  const pairs = Object.entries(headers);
  const message = {
    method,
    url,
    rawHeaders: pairs.flat(),
    headersDistinct: Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), [value]])),
    async *iterator() {
      yield* pieces;
    },
  };
  return readRequest(message as unknown as IncomingMessage);
}
