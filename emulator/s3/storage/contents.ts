/**
 * What is in a bucket, in memory: versions by key, keys in S3's order, uploads. Pure; it changes by `apply` alone,
 * in the same way for a request and for a line of the log after a restart.
 */
import type { Change, Settings, Upload, Version } from "./types.ts";

export interface Contents {
  readonly settings: Settings;
  readonly uploads: ReadonlyMap<string, Upload>;
  /** All keys that have a version or a marker, in the order of their UTF-8 bytes. */
  readonly keys: readonly string[];
  /** Newest first; empty for a key that is not there. */
  versions(key: string): readonly Version[];
  /** The newest version, markers included. */
  latest(key: string): Version | undefined;
  find(key: string, id: string): Version | undefined;
  /** Position of the first key that is not before `key`. */
  positionOf(key: string): number;
  /** Gives the files that nothing needs any more. */
  apply(change: Change): string[];
  /** Files of all versions and parts. */
  files(): Set<string>;
  /** The changes that make these contents out of nothing. */
  dump(): Change[];
  /** Current objects and their bytes, and bytes of everything that is kept. */
  sizes(): { objects: number; bytes: number; keptBytes: number };
}

export function createContents(): Contents {
  let settings: Settings = { created: 0, versioning: "off", tags: {} };
  const byKey = new Map<string, Version[]>();
  const uploads = new Map<string, Upload>();
  const keys: string[] = [];

  function positionOf(key: string): number {
    let [low, high] = [0, keys.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(keys[middle] as string, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function put(version: Version): string[] {
    const before = byKey.get(version.key);
    if (!before) {
      byKey.set(version.key, [version]);
      keys.splice(positionOf(version.key), 0, version.key);
      return [];
    }
    const at = before.findIndex(({ id }) => id === version.id);
    const gone = at === -1 ? [] : before.splice(at, 1);
    before.unshift(version);
    return unused(gone, [version]);
  }

  function amend(version: Version): string[] {
    const list = byKey.get(version.key) ?? [];
    const at = list.findIndex(({ id }) => id === version.id);
    return at === -1 ? [] : unused(list.splice(at, 1, version), [version]);
  }

  function remove(key: string, id: string): string[] {
    const list = byKey.get(key) ?? [];
    const at = list.findIndex((one) => one.id === id);
    if (at === -1) return [];
    const gone = list.splice(at, 1);
    if (list.length === 0) {
      byKey.delete(key);
      keys.splice(positionOf(key), 1);
    }
    return unused(gone, []);
  }

  function end(uploadId: string): string[] {
    const upload = uploads.get(uploadId);
    uploads.delete(uploadId);
    if (!upload) return [];
    const kept = filesOf([...(byKey.get(upload.key) ?? [])]);
    return upload.parts.map(({ file }) => file).filter((file) => !kept.has(file));
  }

  function addPart(uploadId: string, part: Extract<Change, { do: "part" }>["part"]): string[] {
    const upload = uploads.get(uploadId);
    if (!upload) return [part.file];
    const at = upload.parts.findIndex(({ number }) => number >= part.number);
    if (at === -1) upload.parts.push(part);
    else if (upload.parts[at]?.number === part.number) return upload.parts.splice(at, 1, part).map(({ file }) => file);
    else upload.parts.splice(at, 0, part);
    return [];
  }

  return {
    get settings() {
      return settings;
    },
    uploads,
    keys,
    versions: (key) => byKey.get(key) ?? [],
    latest: (key) => byKey.get(key)?.[0],
    find: (key, id) => byKey.get(key)?.find((one) => one.id === id),
    positionOf,
    apply(change) {
      switch (change.do) {
        case "settings":
          settings = change.settings;
          return [];
        case "put":
          return put(change.version);
        case "amend":
          return amend(change.version);
        case "remove":
          return remove(change.key, change.id);
        case "begin":
          uploads.set(change.upload.id, change.upload);
          return [];
        case "part":
          return addPart(change.upload, change.part);
        case "end":
          return end(change.upload);
      }
    },
    files() {
      const files = filesOf([...byKey.values()].flat());
      for (const { parts } of uploads.values()) for (const { file } of parts) files.add(file);
      return files;
    },
    dump: () => [
      { do: "settings", settings },
      ...[...byKey.values()].flatMap((list) => list.toReversed().map((version) => ({ do: "put", version }) as const)),
      ...[...uploads.values()].map((upload) => ({ do: "begin", upload }) as const),
    ],
    sizes() {
      const sum = { objects: 0, bytes: 0, keptBytes: 0 };
      for (const list of byKey.values()) {
        if (list[0] && !list[0].isMarker) {
          sum.objects += 1;
          sum.bytes += list[0].size;
        }
        for (const { size } of list) sum.keptBytes += size;
      }
      for (const { parts } of uploads.values()) for (const { size } of parts) sum.keptBytes += size;
      return sum;
    },
  };
}

/** The order of UTF-8 bytes, which is JavaScript's but for characters beyond 16 bits: these come last. */
export function compareKeys(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at++) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

function unused(gone: readonly Version[], kept: readonly Version[]): string[] {
  const needed = filesOf(kept);
  return [...filesOf(gone)].filter((file) => !needed.has(file));
}

function filesOf(versions: readonly Version[]): Set<string> {
  return new Set(versions.flatMap(({ pieces }) => pieces.map(({ file }) => file)));
}
