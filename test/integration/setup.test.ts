/**
 * Set-up as a person starts it, in a copy of the project beside a mirror of fake engine archives. Only the first test
 * runs a real `npm ci`: no cheaper one shows that the lock installs, and that two set-ups at once wait for each other.
 */
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type Clone, makeClone, writeArchive } from "../helpers/clone.ts";

const clones: Clone[] = [];

afterEach(() => {
  for (const clone of clones.splice(0)) clone.remove();
});

function clone(packages: "linked" | "none" = "linked"): Clone {
  const made = makeClone(packages);
  clones.push(made);
  return made;
}

const ALL_THERE = "set-up: all there (Node 24.21.0, Pulumi 3.259.0)";

/** The folder's files with their times, so that any write shows. */
function snapshot(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes("node_modules"))
    .map((path) => `${path} ${lstatSync(path).mtimeMs}`)
    .sort();
}

describe("set-up", () => {
  test("of a fresh clone installs everything, also when started twice at once, and then does nothing", async ({
    skip,
  }) => {
    const { setup, root, engine, plugin } = clone("none");
    const both = await Promise.all([setup(), setup()]);
    const isOffline = both.some(({ err }) => /ENOTFOUND|EAI_AGAIN|ENOTCACHED/.test(err)) && !process.env.CI;
    skip(isOffline, "neither a registry nor npm's cache has the packages");
    expect(both.map(({ code, err }) => ({ code, err }))).toEqual([
      { code: 0, err: "" },
      { code: 0, err: "" },
    ]);
    const [first, second] = both.map(({ out }) => out).sort((a, b) => b.length - a.length);
    expect(first?.replace(/in [\d.]+ s/, "in N s").split("\n")).toEqual([
      "set-up: npm packages (npm ci, about 20 s)",
      "set-up: Node 24.21.0 for this project",
      `set-up: Pulumi engine 3.259.0 from ${join(root, "..", "shared", "engine")}`,
      `set-up: Pulumi plugin command 1.2.1 from ${join(root, "..", "shared", "engine")}`,
      `set-up: SSH key for the emulated market in ${join(root, ".vastlane", "ssh")}`,
      `set-up: stack local in ${join(root, ".vastlane", "state")}`,
      "set-up: done in N s",
    ]);
    expect(second?.replace(/process \d+/, "process N").split("\n")).toEqual([
      "set-up: waiting for another set-up of this clone (process N)",
      ALL_THERE,
    ]);
    for (const piece of [engine, plugin]) {
      for (const name of piece.programs) expect(existsSync(join(piece.folder, name))).toBe(true);
    }
    expect(readlinkSync(join(root, "node_modules/.bin/vastlane"))).toBe("../../bin/vastlane.mjs");
    expect(existsSync(join(root, ".vastlane/ssh/id_ed25519.pub"))).toBe(true);

    const before = snapshot(join(root, ".."));
    expect(await setup()).toEqual({ code: 0, out: ALL_THERE, err: "" });
    expect(snapshot(join(root, ".."))).toEqual(before);
  });

  test("makes good what has gone since, and only that", async () => {
    const { setup, root, plugin, mirror } = clone();
    await setup();
    rmSync(plugin.folder, { recursive: true });
    const { code, out } = await setup();
    expect(code).toBe(0);
    expect(out.replace(/in [\d.]+ s/, "in N s").split("\n")).toEqual([
      `set-up: Pulumi plugin command 1.2.1 from ${mirror}`,
      "set-up: done in N s",
    ]);
    rmSync(join(root, ".vastlane/ssh/id_ed25519.pub")); // as when ssh-keygen was killed
    expect((await setup()).code).toBe(0);
    expect(existsSync(join(root, ".vastlane/ssh/id_ed25519.pub"))).toBe(true);
  });

  test("replaces an engine and a plugin that an interrupted download left half there", async () => {
    const { setup, engine, plugin, pulumiHome } = clone();
    mkdirSync(engine.folder, { recursive: true });
    writeFileSync(join(engine.folder, "pulumi"), "half");
    mkdirSync(plugin.folder, { recursive: true });
    writeFileSync(`${plugin.folder}.partial`, "");
    expect(await setup()).toMatchObject({ code: 0, err: "" });
    expect(readdirSync(engine.folder).sort()).toEqual([...engine.programs].sort());
    expect(existsSync(`${plugin.folder}.partial`)).toBe(false);
    expect(readdirSync(pulumiHome).sort()).toEqual(["plugins", "versions"]);
  });

  test("of two clones at once shares one PULUMI_HOME without harm", async () => {
    const [one, other] = [clone(), clone()];
    const runs = await Promise.all([one.setup(), other.setup([], { PULUMI_HOME: one.pulumiHome })]);
    expect(runs.map(({ code, err }) => ({ code, err }))).toEqual([
      { code: 0, err: "" },
      { code: 0, err: "" },
    ]);
    expect(readdirSync(one.pulumiHome).sort()).toEqual(["plugins", "versions"]);
    expect(readdirSync(one.engine.folder).sort()).toEqual([...one.engine.programs].sort());
  });

  test("goes on over the marks of a set-up that was killed", async () => {
    const { setup, root, pulumiHome } = clone();
    mkdirSync(join(root, ".vastlane/setup.lock"), { recursive: true });
    writeFileSync(join(root, ".vastlane/setup.lock/4194303-1"), ""); // no such process
    writeFileSync(join(root, ".vastlane/setup.json"), "{ half");
    mkdirSync(join(pulumiHome, ".vastlane-unpack-young"), { recursive: true });
    expect(await setup()).toMatchObject({ code: 0, err: "" });
    expect(readdirSync(join(root, ".vastlane/setup.lock"))).toEqual([]);
  });

  test("never lets npm empty a node_modules that is a link to another project's", async () => {
    const { setup, root } = clone();
    const other = join(root, "..", "other");
    mkdirSync(other);
    writeFileSync(join(other, "precious"), "");
    rmSync(join(root, "node_modules"));
    symlinkSync(other, join(root, "node_modules"));
    const { code, err } = await setup();
    expect(code).toBe(1);
    expect(err).toBe(
      `VL_SETUP_FAILED: ${join(root, "node_modules")} is a link to ${other}.
  why: what is there does not fit package-lock.json, and npm ci would delete it.
  do:  rm ${join(root, "node_modules")}, then run: npm run setup`,
    );
    expect(readdirSync(other)).toEqual(["precious"]);
  });

  test("refuses an archive that is not what SHA256SUMS says, and leaves nothing behind", async () => {
    const { setup, mirror, engine, pulumiHome } = clone();
    const archive = join(mirror, engine.archive);
    writeFileSync(archive, "x", { flag: "a" });
    const { code, err } = await setup();
    expect(code).toBe(1);
    expect(err.replaceAll(/[0-9a-f]{16}\.\.\./g, "SUM...")).toBe(
      `VL_ENGINE_MISSING: The offline archive of Pulumi engine 3.259.0 was refused.
  why: ${archive} has SHA-256 SUM..., and SHA256SUMS beside it says SUM...
  do:  copy the archive and its SHA256SUMS again, or remove the archive to use the official download`,
    );
    expect(readdirSync(pulumiHome)).toEqual([]);
  });

  test("refuses an archive without a checksum", async () => {
    const { setup, mirror, engine } = clone();
    writeFileSync(join(mirror, "SHA256SUMS"), "");
    const { code, err } = await setup();
    expect(code).toBe(1);
    expect(err).toContain(`why: ${join(mirror, "SHA256SUMS")} does not list ${engine.archive}`);
  });

  test("refuses an archive that lacks a program", async () => {
    const { setup, mirror, engine } = clone();
    rmSync(join(mirror, "SHA256SUMS"));
    writeArchive(mirror, engine, ["pulumi", "pulumi-language-nodejs"]);
    const { code, err } = await setup();
    expect(code).toBe(1);
    expect(err).toContain(`why: ${join(mirror, engine.archive)} holds no program pulumi-resource-pulumi-nodejs.`);
  });

  test("says all that it tried when no engine can be had", async () => {
    const { setup, root, mirror, engine } = clone();
    rmSync(mirror, { recursive: true });
    const { code, err } = await setup([], { VASTLANE_OFFLINE: "1" });
    expect(code).toBe(1);
    expect(err).toBe(
      `VL_ENGINE_MISSING: Pulumi engine 3.259.0 is not on this machine and could not be fetched.
  why: ${engine.folder} does not hold it
       there is no offline archive ${join(mirror, engine.archive)}
       downloads are off (VASTLANE_OFFLINE is set)
  do:  connect to the network and run: npm run setup
       or put ${engine.archive} and its SHA256SUMS into a folder and set VASTLANE_ENGINE_MIRROR to it`,
    );
    expect(existsSync(join(root, ".vastlane/setup.json"))).toBe(false);
  });

  test("goes on without an engine for the demo, says so, and tries again the next time", async () => {
    const { setup, root, mirror } = clone();
    const aside = `${mirror}-aside`;
    cpSync(mirror, aside, { recursive: true });
    rmSync(mirror, { recursive: true });
    const { code, out, err } = await setup(["--engine-optional"], { VASTLANE_OFFLINE: "1" });
    expect(code).toBe(0);
    expect(err).toMatch(/^VL_ENGINE_MISSING: /);
    expect(out).toContain("going on without the engine: the same program and providers run inside one Node process");
    const again = await setup(["--engine-optional"], { VASTLANE_ENGINE_MIRROR: aside });
    expect(again).toMatchObject({ code: 0, err: "" });
    expect(again.out).toContain(`set-up: Pulumi engine 3.259.0 from ${aside}`);
    expect(existsSync(join(root, ".vastlane/setup.json"))).toBe(true);
  });

  test("names a PULUMI_HOME that cannot be made", async () => {
    const { setup, root } = clone();
    const home = join(root, "package.json", "pulumi"); // below a file
    const { code, err } = await setup([], { PULUMI_HOME: home });
    expect(code).toBe(1);
    expect(err).toBe(
      `VL_ENGINE_MISSING: Pulumi engine 3.259.0 cannot be put into ${home}.
  why: ENOTDIR: not a directory, mkdir '${home}'
  do:  make that folder writable, or set PULUMI_HOME to another one`,
    );
  });
});
