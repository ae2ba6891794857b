/**
 * Takes the `aws-chunked` coding off a body, wherever the network has cut it: `SIZE[;chunk-signature=HEX]\r\n`, bytes,
 * `\r\n`, a last chunk of size 0, trailers. With a signer, each chunk and the trailer must carry the right signature.
 * Source: "Signature calculations: transferring payload in multiple chunks" of the Amazon S3 API reference.
 */
import { createHash, type Hash } from "node:crypto";
import { S3Error } from "./errors.ts";
import { chunkText, isSame, type Scope, signatureOf, trailerText } from "./signature.ts";

export interface ChunkSigner {
  key: Buffer;
  scope: Scope;
  timestamp: string;
  /** The signature of the request itself, which the first chunk's hangs on. */
  seed: string;
}

export interface ChunkedDecoder {
  /** The bytes of the object in `bytes`, as slices of it. @throws S3Error */
  push(bytes: Buffer): Buffer[];
  /** To be called after the last byte; gives the trailers, names in lower case. @throws S3Error IncompleteBody */
  end(): Record<string, string>;
}

const LONGEST_LINE = 16 << 10;
/** Of every chunk but the last one with bytes. */
const SMALLEST_CHUNK = 8192;
const SIGNATURE = "x-amz-trailer-signature";

type Place = "size" | "bytes" | "after bytes" | "trailers" | "done";

export function createChunkedDecoder(signer: ChunkSigner | undefined, hasTrailer: boolean): ChunkedDecoder {
  let place: Place = "size";
  /** Bytes of an unfinished line. */
  let line = "";
  let left = 0;
  let isAfterSmall = false;
  let previous = signer?.seed ?? "";
  let signature = "";
  let hash: Hash | undefined;
  let signedTrailer = "";
  const trailers: Record<string, string> = {};

  function push(bytes: Buffer): Buffer[] {
    const found: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      if (place === "bytes") {
        const piece = bytes.subarray(at, at + left);
        hash?.update(piece);
        found.push(piece);
        at += piece.length;
        left -= piece.length;
        if (left === 0) endChunk("after bytes");
        continue;
      }
      const newline = bytes.indexOf(10, at);
      const end = newline === -1 ? bytes.length : newline;
      line += bytes.toString("latin1", at, end);
      if (line.length > LONGEST_LINE) throw malformed("a line of a chunk is too long");
      if (newline === -1) break;
      at = end + 1;
      const whole = line.replace(/\r$/, "");
      line = "";
      takeLine(whole);
    }
    return found;
  }

  function takeLine(text: string): void {
    if (place === "size") startChunk(text);
    else if (place === "after bytes") {
      if (text !== "") throw malformed("a chunk is longer than it says");
      place = "size";
    } else if (place === "trailers") takeTrailer(text);
    else if (text !== "") throw malformed("there is something after the last chunk");
  }

  function startChunk(text: string): void {
    const [digits = "", ...extensions] = text.split(";");
    if (!/^[0-9a-fA-F]{1,12}$/.test(digits)) throw malformed(`"${digits.slice(0, 40)}" is no size of a chunk`);
    left = Number.parseInt(digits, 16);
    if (left > 0 && isAfterSmall)
      throw new S3Error("InvalidChunkSizeError", "Only the last chunk is allowed to have a size less than 8192 bytes");
    isAfterSmall = left < SMALLEST_CHUNK;
    signature = extensions.find((one) => one.startsWith("chunk-signature="))?.slice("chunk-signature=".length) ?? "";
    hash = signer && createHash("sha256");
    place = "bytes";
    if (left === 0) endChunk("trailers");
  }

  function endChunk(next: Place): void {
    if (signer && hash) {
      const text = chunkText(signer.timestamp, signer.scope, previous, hash.digest("hex"));
      previous = expect(signer, text, signature, "chunk");
    }
    place = next;
  }

  function takeTrailer(text: string): void {
    const isSigned = signer !== undefined && hasTrailer;
    if (text === "") {
      // AWS's own examples have an empty line before the signature.
      if (!isSigned || trailers[SIGNATURE] !== undefined) place = "done";
      return;
    }
    const [name = "", value = ""] = text.split(/:(.*)/s);
    const key = name.trim().toLowerCase();
    trailers[key] = value.trim();
    if (key !== SIGNATURE) signedTrailer += `${key}:${value.trim()}\n`;
    else if (signer && isSigned)
      expect(signer, trailerText(signer.timestamp, signer.scope, previous, signedTrailer), value.trim(), "trailer");
  }

  return {
    push,
    end() {
      const isSigned = signer === undefined || !hasTrailer || trailers[SIGNATURE] !== undefined;
      // The very last line break is forgotten by some clients.
      const isWhole = place === "done" || (place === "trailers" && line === "" && isSigned && !hasTrailer);
      if (!isWhole) throw incomplete();
      if (!isSigned) throw new S3Error("SignatureDoesNotMatch", "The trailer is not signed.");
      return trailers;
    },
  };
}

function expect(signer: ChunkSigner, text: string, given: string, what: string): string {
  const wanted = signatureOf(signer.key, text);
  if (!isSame(wanted, given))
    throw new S3Error(
      "SignatureDoesNotMatch",
      `The signature of a ${what} does not match. Check your key and signing method.`,
      { fields: { StringToSign: text, SignatureProvided: given } },
    );
  return wanted;
}

function malformed(why: string): S3Error {
  return new S3Error("InvalidRequest", `The body is not aws-chunked as it says: ${why}.`);
}

export function incomplete(): S3Error {
  return new S3Error(
    "IncompleteBody",
    "You did not provide the number of bytes specified by the Content-Length HTTP header",
  );
}
