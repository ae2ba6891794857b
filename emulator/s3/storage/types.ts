/** What a bucket holds, as it is kept in memory and in the bucket's log. */
import type { Algorithm, Checksum, ChecksumType } from "../checksums.ts";

/** Bytes of an object that lie in one file. A multipart object has one piece for each part. */
export interface Piece {
  /** Name in the bucket's `data` folder. */
  file: string;
  size: number;
  /** The part's number, as its uploader counted. */
  number?: number;
  /** The part's own checksum, base64. */
  checksum?: string;
}

/** What a client says about an object and gets back with it. */
export interface Description {
  /** Content-Type, Cache-Control and the like, lower-case names. */
  headers: Record<string, string>;
  /** Without `x-amz-meta-`. */
  metadata: Record<string, string>;
  tags: Record<string, string>;
  storageClass: string;
}

/** One version of an object, or the marker of its deletion. */
export interface Version {
  key: string;
  /** `null` where it was written without versioning. */
  id: string;
  isMarker: boolean;
  /** Unix time, ms. */
  modified: number;
  size: number;
  /** Without quotes. */
  etag: string;
  pieces: Piece[];
  description: Description;
  checksum: Checksum | null;
}

export interface Part {
  number: number;
  file: string;
  size: number;
  etag: string;
  modified: number;
  /** Base64, of the upload's algorithm. */
  checksum: string | undefined;
}

export interface Upload {
  id: string;
  key: string;
  started: number;
  description: Description;
  checksum: { algorithm: Algorithm; type: ChecksumType } | null;
  parts: Part[];
}

export type Versioning = "off" | "Enabled" | "Suspended";

export interface Settings {
  created: number;
  versioning: Versioning;
  tags: Record<string, string>;
}

/** What can happen to a bucket; a line of its log has one or more that happen together. */
export type Change =
  | { do: "settings"; settings: Settings }
  /** Becomes the newest version of its key, in place of one with the same id. */
  | { do: "put"; version: Version }
  /** Replaces a version where it is. */
  | { do: "amend"; version: Version }
  | { do: "remove"; key: string; id: string }
  | { do: "begin"; upload: Upload }
  | { do: "part"; upload: string; part: Part }
  /** The upload is over; its parts' files belong to a version now, or to nothing. */
  | { do: "end"; upload: string };

export const NULL_ID = "null";
