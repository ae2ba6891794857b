import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Intents, intentsIn } from "../../../../infra/vast/intents.ts";
import { formatLabel } from "../../../../infra/vast/label.ts";

let root: string;
let folder: string;
let intents: Intents;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane-intents-"));
  folder = join(root, "intents");
  intents = intentsIn(folder);
});
afterEach(() => {
  vi.doUnmock("../../../../common/files.ts");
  rmSync(root, { recursive: true, force: true });
});

const label = (scope: string, nonce: string) => formatLabel({ scope, name: "main", requestHash: "h", nonce });
const intent = (scope: string, nonce: string) => ({ label: label(scope, nonce), offerId: 7, at: 1000 });

test("what is written is there for whoever comes next, by scope", () => {
  intents.write(intent("a", "n1"));
  intents.write(intent("a", "n2"));
  intents.write(intent("b", "n3"));
  expect(
    intentsIn(folder)
      .of("a")
      .sort((x, y) => (x.label < y.label ? -1 : 1)),
  ).toEqual([intent("a", "n1"), intent("a", "n2")]);
});

test("writing again replaces it, with the time of the new try", () => {
  intents.write(intent("a", "n1"));
  intents.write({ ...intent("a", "n1"), at: 2000 });
  expect(intents.of("a")).toEqual([{ ...intent("a", "n1"), at: 2000 }]);
});

test("clearing removes one, and one that is gone is no fault", () => {
  intents.write(intent("a", "n1"));
  intents.write(intent("a", "n2"));
  intents.clear(label("a", "n1"));
  intents.clear(label("a", "n1"));
  intents.clear("by hand");
  expect(intents.of("a")).toEqual([intent("a", "n2")]);
  expect(readdirSync(join(folder, "a"))).toEqual(["n2.json"]);
});

test("clearing never throws, as a machine may just have been rented", () => {
  mkdirSync(join(folder, "a", "n1.json", "not-empty"), { recursive: true });
  expect(() => intents.clear(label("a", "n1"))).not.toThrow();
});

test("nothing was ever rented from here: no intents", () => {
  expect(intents.of("a")).toEqual([]);
});

test("broken files do not keep a destroy from working", () => {
  intents.write(intent("a", "n1"));
  for (const [name, text] of [
    ["empty.json", ""],
    ["torn.json", '{"label":"x"'],
    ["other.json", '{"a":1}'],
    ["half.json.tmp", "x"],
  ] as const)
    writeFileSync(join(folder, "a", name), text);
  expect(intents.of("a")).toEqual([intent("a", "n1")]);
});

test("a folder that cannot be written says so before anything is rented", () => {
  writeFileSync(folder, "a file in the way");
  expect(() => intents.write(intent("a", "n1"))).toThrow(/ENOTDIR|EEXIST/);
});

test("a full disk is said in people's words, before anything is rented", async () => {
  vi.resetModules();
  vi.doMock("../../../../common/files.ts", () => ({
    writeFileAtomic() {
      throw Object.assign(new Error("ENOSPC: no space left on device, open"), { code: "ENOSPC" });
    },
    readJsonIfThere: () => undefined,
  }));
  const { intentsIn: onFullDisk } = await import("../../../../infra/vast/intents.ts");
  expect(() => onFullDisk("/state/intents").write(intent("a", "n1"))).toThrow(
    `VL_DISK_FULL: this computer's disk is full, so nothing was rented
  why: what is rented is written down first, in /state/intents
  do:  free some space, then run the command again`,
  );
});
