/** All buckets of a home, below `<folder>/buckets/<name>`. */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { S3Error } from "../errors.ts";
import { type Bucket, makeBucket, noSuchBucket, openBucket } from "./bucket.ts";

export interface S3Store {
  /** By name, in order. */
  buckets(): Bucket[];
  has(name: string): boolean;
  /** @throws S3Error NoSuchBucket */
  bucket(name: string): Bucket;
  /** @throws S3Error BucketAlreadyOwnedByYou, InvalidBucketName */
  create(name: string, settings: { created: number; tags: Record<string, string> }): Promise<void>;
  /** @throws S3Error NoSuchBucket, BucketNotEmpty */
  remove(name: string): Promise<void>;
  close(): Promise<void>;
}

const NAME = /^(?!\d+\.\d+\.\d+\.\d+$)(?!xn--)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

export async function openS3Store(folder: string): Promise<S3Store> {
  const root = join(folder, "buckets");
  await mkdir(root, { recursive: true, mode: 0o700 });
  const buckets = new Map<string, Bucket>();
  for (const name of (await readdir(root)).sort()) {
    // A dot in front: a bucket that was being made or deleted when the process was killed.
    if (name.startsWith(".")) await rm(join(root, name), { recursive: true, force: true });
    else buckets.set(name, await openBucket(join(root, name), name));
  }
  const making = new Set<string>();

  function bucket(name: string): Bucket {
    const found = buckets.get(name);
    if (!found) throw noSuchBucket(name);
    return found;
  }

  return {
    buckets: () => [...buckets.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    has: (name) => buckets.has(name),
    bucket,
    async create(name, { created, tags }) {
      if (!NAME.test(name))
        throw new S3Error("InvalidBucketName", "The specified bucket is not valid.", { fields: { BucketName: name } });
      if (buckets.has(name) || making.has(name))
        throw new S3Error(
          "BucketAlreadyOwnedByYou",
          "Your previous request to create the named bucket succeeded and you already own it.",
          { fields: { BucketName: name } },
        );
      making.add(name);
      try {
        const draft = join(root, `.new-${name}`);
        await (await makeBucket(draft, name, { created, tags, versioning: "off" })).close();
        await rename(draft, join(root, name));
        buckets.set(name, await openBucket(join(root, name), name));
      } finally {
        making.delete(name);
      }
    },
    async remove(name) {
      const doomed = bucket(name);
      if (doomed.contents.keys.length > 0)
        throw new S3Error("BucketNotEmpty", "The bucket you tried to delete is not empty", {
          fields: { BucketName: name },
        });
      buckets.delete(name);
      await doomed.close();
      if (doomed.contents.keys.length > 0) {
        // A write was under way when we looked: it wins.
        buckets.set(name, await openBucket(join(root, name), name));
        throw new S3Error("BucketNotEmpty", "The bucket you tried to delete is not empty", {
          fields: { BucketName: name },
        });
      }
      const gone = join(root, `.gone-${name}-${Date.now()}`);
      await rename(join(root, name), gone);
      await rm(gone, { recursive: true, force: true });
    },
    async close() {
      await Promise.all([...buckets.values()].map((one) => one.close()));
    },
  };
}
