/**
 * Who may come in: the home's root pair, which may do everything, and pairs that reach one prefix of one bucket.
 * They are kept in `keys.json` and never end: data outlives the machines whose keys these are.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { readJsonIfThere, writeFileAtomic } from "../../common/files.ts";

export interface KeyPair {
  accessKeyId: string;
  secretAccessKey: string;
}

/** What a key may reach; null: everything. */
export type Grant = { bucket: string; prefix: string } | null;

export interface Key extends KeyPair {
  grant: Grant;
}

export interface Keyring {
  root: KeyPair;
  find(accessKeyId: string): Key | undefined;
  /** The pair for a bucket and prefix: the same one each time. Slashes around the prefix do not count. */
  keyFor(bucket: string, prefix: string): KeyPair;
}

export function openKeyring(folder: string): Keyring {
  const path = join(folder, "keys.json");
  const saved = readJsonIfThere(path) as { keys: Key[] } | undefined;
  const keys = saved?.keys ?? [];
  let root = keys.find(({ grant }) => grant === null);
  if (!root) {
    root = { ...newPair("VLROOT"), grant: null };
    keys.push(root);
    save();
  }
  const byId = new Map(keys.map((key) => [key.accessKeyId, key]));
  const { accessKeyId, secretAccessKey } = root;

  function save(): void {
    writeFileAtomic(path, `${JSON.stringify({ keys }, null, 2)}\n`, 0o600);
  }

  return {
    root: { accessKeyId, secretAccessKey },
    find: (id) => byId.get(id),
    keyFor(bucket, slashed) {
      const prefix = slashed.replace(/^\/+|\/+$/g, "");
      let key = keys.find(({ grant }) => grant?.bucket === bucket && grant.prefix === prefix);
      if (!key) {
        key = { ...newPair("VLRUN"), grant: { bucket, prefix } };
        keys.push(key);
        save();
        byId.set(key.accessKeyId, key);
      }
      return { accessKeyId: key.accessKeyId, secretAccessKey: key.secretAccessKey };
    },
  };
}

/** As long as AWS's: 20 and 40 characters. */
function newPair(start: string): KeyPair {
  const letters = randomBytes(16).toString("hex").toUpperCase();
  return { accessKeyId: `${start}${letters}`.slice(0, 20), secretAccessKey: randomBytes(30).toString("base64") };
}
