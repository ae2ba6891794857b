import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { renderManifest, type SentFile } from "../../../../common/sent-files.ts";
import { createSnapshots, restoreSnapshot } from "../../../../runtime/snapshot/index.ts";
import { fakeClock } from "../../../helpers/fake-clock.ts";
import { memoryStore } from "../../../helpers/memory-store.ts";

const SENT_AT = 1_700_000_000;
let root: string;
let clock: ReturnType<typeof fakeClock>;
let store: ReturnType<typeof memoryStore>;
let log: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-snapshot-"));
  clock = fakeClock();
  store = memoryStore({ clock });
  log = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A machine with the project as a deploy leaves it. */
function machine(name: string, files: Record<string, string>) {
  const base = join(root, name);
  const project = join(base, "project");
  mkdirSync(project, { recursive: true });
  const sent: SentFile[] = Object.entries(files).map(([path, text]) => {
    write(join(project, path), text, SENT_AT);
    const sha256 = createHash("sha256").update(text).digest("hex");
    return { path, sha256, size: Buffer.byteLength(text), mode: 0o644, mtime: SENT_AT, isLink: false };
  });
  const manifest = join(base, "manifest");
  writeFileSync(manifest, renderManifest(sent));
  const snapshots = createSnapshots();
  const staging = join(base, "staging");
  const conflicts = join(base, "conflicts");
  return {
    project,
    conflicts,
    read: (path: string) => readFileSync(join(project, path), "utf8"),
    edit: (path: string, text: string) => write(join(project, path), text, SENT_AT + 60),
    has: (path: string) => existsSync(join(project, path)),
    save: (epoch: number, caps = { fileBytes: 1000, totalBytes: 3000 }) => {
      const tenure = { epoch, holder: name, assertHeld: async () => {} };
      return snapshots.save({ store, tenure, clock, log: (line) => log.push(line), project, manifest, staging, caps });
    },
    restore: (epoch: number) =>
      restoreSnapshot({ store, epoch, project, conflicts, staging, log: (line) => log.push(line) }),
  };
}

function write(path: string, text: string, mtime: number): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  utimesSync(path, mtime, mtime);
}

const DEPLOYED = { "train.py": "v1", "lib/model.py": "m1", "old.py": "o1", ".gitignore": "out/\n" };

test("what was changed on a machine is there again on the next one, with its time", async () => {
  const first = machine("a", DEPLOYED);
  first.edit("train.py", "edited");
  first.edit("notes/new.md", "new");
  rmSync(join(first.project, "old.py"));
  expect(await first.save(1)).toMatch(/^snapshots\/20260101T000000Z\.e00001$/);
  const second = machine("b", DEPLOYED);
  const found = await second.restore(2);
  expect(found).toMatchObject({ restored: ["notes/new.md", "train.py"], deleted: ["old.py"], conflicts: [] });
  expect(second.read("train.py")).toBe("edited");
  expect(second.read("notes/new.md")).toBe("new");
  expect(second.read("lib/model.py")).toBe("m1");
  expect(second.has("old.py")).toBe(false);
  expect(statSync(join(second.project, "train.py")).mtimeMs).toBe((SENT_AT + 60) * 1000);
});

test("a file that changed on both sides stays as deployed, and the machine's version lies beside the project", async () => {
  const first = machine("a", DEPLOYED);
  first.edit("train.py", "edited there");
  rmSync(join(first.project, "old.py"));
  await first.save(1);
  const second = machine("b", { ...DEPLOYED, "train.py": "v2 of the laptop", "old.py": "o2" });
  const found = await second.restore(2);
  expect(found).toMatchObject({ restored: [], deleted: [], conflicts: ["train.py"] });
  expect(second.read("train.py")).toBe("v2 of the laptop");
  expect(second.read("old.py")).toBe("o2");
  expect(readFileSync(join(found?.conflictFolder ?? "", "train.py"), "utf8")).toBe("edited there");
  expect(log.join("\n")).toContain("old.py was deleted on the machine before");
});

test("restoring twice changes nothing more", async () => {
  const first = machine("a", DEPLOYED);
  first.edit("train.py", "edited");
  await first.save(1);
  const second = machine("b", DEPLOYED);
  await second.restore(2);
  expect(await second.restore(2)).toMatchObject({ restored: [], deleted: [], conflicts: [] });
});

describe("saving", () => {
  test("an unchanged workspace sends nothing", async () => {
    const one = machine("a", DEPLOYED);
    expect(await one.save(1)).toBeUndefined();
    one.edit("train.py", "edited");
    expect(await one.save(1)).toBeDefined();
    expect(await one.save(1)).toBeUndefined();
    expect((await store.list("")).length).toBe(2);
  });

  test("going back to what was sent is a change as well", async () => {
    const one = machine("a", DEPLOYED);
    one.edit("train.py", "edited");
    await one.save(1);
    write(join(one.project, "train.py"), "v1", SENT_AT);
    await clock.sleep(1000);
    expect(await one.save(1)).toBeDefined();
    const second = machine("b", DEPLOYED);
    expect(await second.restore(2)).toMatchObject({ restored: [] });
  });

  test("ignored, secret, large and linked files stay out, and large ones are named once", async () => {
    const one = machine("a", DEPLOYED);
    one.edit("out/log.txt", "ignored");
    one.edit(".env", "KEY=secret");
    one.edit("id_rsa", "secret");
    one.edit("weights.bin", "x".repeat(2000));
    symlinkSync("/etc/passwd", join(one.project, "link"));
    one.edit("kept.txt", "kept");
    await one.save(1);
    one.edit("kept.txt", "kept again, longer");
    await one.save(1);
    const second = machine("b", DEPLOYED);
    expect((await second.restore(2))?.restored).toEqual(["kept.txt"]);
    expect(log).toEqual(["not in the snapshot: weights.bin (larger than 0.001 MB)"]);
  });

  test("of more than fits, the newest files count", async () => {
    const one = machine("a", {});
    for (let i = 0; i < 5; i += 1) write(join(one.project, `f${i}`), "x".repeat(900), SENT_AT + i);
    await one.save(1);
    const second = machine("b", {});
    expect((await second.restore(2))?.restored).toEqual(["f2", "f3", "f4"]);
  });

  test("old snapshots go, the last of each day stays", async () => {
    const one = machine("a", {});
    for (let i = 0; i < 30; i += 1) {
      one.edit("f", "x".repeat(i + 1));
      await one.save(1);
      await clock.sleep(4 * 3600_000);
    }
    const names = (await store.list("snapshots/")).filter(({ key }) => key.endsWith(".json"));
    expect(names.length).toBe(20 + 1); // the last 20, and the last of the only day that they leave out
  });
});

describe("what must not come back", () => {
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
