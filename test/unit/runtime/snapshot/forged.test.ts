/** Snapshots that are damaged, late, or made by somebody who can write to the store. */
import { existsSync, mkdirSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEPLOYED, type SnapshotWorld, snapshotWorld } from "../../../helpers/snapshot-world.ts";

let world: SnapshotWorld;
let { root, clock, store, log, machine } = {} as SnapshotWorld;
beforeEach(() => {
  world = snapshotWorld();
  ({ root, clock, store, log, machine } = world);
});
afterEach(() => world.dispose());

interface Index {
  files: object[];
  conflicts: object[];
  deleted: object[];
}

describe("what must not come back", () => {
  test("a late snapshot of an old epoch, even where the new one has changed nothing", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "good");
    await first.save(1);
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    expect(await second.save(2)).toBeDefined();
    await clock.sleep(60_000);
    first.edit("train.py", "written after the takeover");
    await first.save(1);
    const third = machine("c", DEPLOYED);
    await third.restore(3);
    expect(third.read("train.py")).toBe("good");
  });

  test("a snapshot that an old epoch writes late", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "good");
    await first.save(1);
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    second.edit("lib/model.py", "better");
    await second.save(2);
    await clock.sleep(60_000);
    first.edit("train.py", "written after the takeover");
    await first.save(1);
    const third = machine("c", DEPLOYED);
    await third.restore(3);
    expect(third.read("train.py")).toBe("good");
    expect(third.read("lib/model.py")).toBe("better");
  });

  test("a damaged one: the one before is taken", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "good");
    await first.save(1);
    await clock.sleep(1000);
    first.edit("train.py", "better, but damaged");
    const name = await first.save(1);
    const archive = await store.get(`${name}.tar.gz`);
    const bytes = Buffer.from(archive?.body ?? "");
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    await store.put(`${name}.tar.gz`, bytes);
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    expect(second.read("train.py")).toBe("good");
    expect(log.join("\n")).toContain("its archive is damaged");
  });

  test.each(["../outside", "/etc/x", "a/../../outside", "a//b", ".ssh/authorized_keys", ".env", "a\\..\\b"])(
    "a path that leaves the project or never travels: %s",
    async (path) => {
      const first = machine("a", DEPLOYED);
      first.edit("train.py", "good");
      const name = await first.save(1);
      const index = JSON.parse((await store.get(`${name}.json`))?.body.toString() ?? "");
      index.files[0].path = path;
      await store.put(`${name}.json`, JSON.stringify(index));
      const second = machine("b", DEPLOYED);
      expect(await second.restore(2)).toBeUndefined();
      expect(second.read("train.py")).toBe("v1");
      expect(existsSync(join(root, "b", "outside"))).toBe(false);
    },
  );

  test.each([
    ["a time that is a path", (index: Index) => Object.assign(index, { time: "../../../../tmp/x" })],
    ["a negative time", (index: Index) => Object.assign(index.files[0] ?? {}, { mtime: -1 })],
    ["a file named twice", (index: Index) => index.files.push(index.files[0] ?? {})],
    ["more bytes than any snapshot has", (index: Index) => Object.assign(index.files[0] ?? {}, { size: 2 ** 40 })],
    ["another length than the archive's file", (index: Index) => Object.assign(index.files[0] ?? {}, { size: 5 })],
    ["a hash that is none", (index: Index) => Object.assign(index.files[0] ?? {}, { sha256: "x" })],
    ["a file that the archive lacks", (index: Index) => index.files.push({ ...index.files[0], path: "other.py" })],
    ["a conflict that leaves its folder", (index: Index) => index.conflicts.push({ ...index.files[0], path: "../x" })],
    ["a deleted file outside", (index: Index) => index.deleted.push({ path: "../x", baseSha256: "0".repeat(64) })],
    ["no files at all", (index: Index) => Object.assign(index, { files: undefined })],
    ["a newer format", (index: Index) => Object.assign(index, { format: 2 })],
  ])("an index with %s: said, and the one before is taken", async (_, spoil) => {
    const first = machine("a", DEPLOYED);
    first.edit("train.py", "good");
    await first.save(1);
    await clock.sleep(1000);
    first.edit("train.py", "better");
    const name = await first.save(1);
    const index = store.json(`${name}.json`) as unknown as Index;
    spoil(index);
    await store.put(`${name}.json`, JSON.stringify(index));
    const second = machine("b", DEPLOYED);
    expect((await second.restore(2))?.restored).toEqual(["train.py"]);
    expect(second.read("train.py")).toBe("good");
    expect(log.join()).toContain(`snapshot ${name} is not used`);
  });

  test("bits that change who a program runs as", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("tool", "#!/bin/sh");
    const name = await first.save(1);
    const index = store.json(`${name}.json`) as unknown as Index;
    Object.assign(index.files[0] ?? {}, { mode: 0o4755 });
    await store.put(`${name}.json`, JSON.stringify(index));
    const second = machine("b", DEPLOYED);
    await second.restore(2);
    expect(statSync(join(second.project, "tool")).mode & 0o7777).toBe(0o755);
  });

  test("a file behind a link that leads out of the project", async () => {
    const first = machine("a", DEPLOYED);
    first.edit("data/x.txt", "new");
    await first.save(1);
    const second = machine("b", DEPLOYED);
    const outside = join(root, "elsewhere");
    mkdirSync(outside);
    symlinkSync(outside, join(second.project, "data"));
    expect(await second.restore(2)).toMatchObject({ restored: [], conflicts: ["data/x.txt"] });
    expect(existsSync(join(outside, "x.txt"))).toBe(false);
  });
});
