/** Every pair of what was done to a file on the machine and here, many files at once: nothing is lost on either side. */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { snapshotWorld } from "../../../helpers/snapshot-world.ts";

interface FileStory {
  path: string;
  /** Undefined: not there. */
  sent: string | undefined;
  onMachine: string | undefined;
  here: string | undefined;
}

const content = fc.option(fc.constantFrom("one", "two", "three"), { nil: undefined });
const story = fc.record({
  path: fc.constantFrom("a", "b.py", "lib/c.py", "lib/deep/d.py", "e f.md"),
  sent: content,
  onMachine: content,
  here: content,
});
const stories = fc.uniqueArray(story, { selector: ({ path }) => path, minLength: 1 });

const having = (all: readonly FileStory[], what: "sent" | "here") =>
  Object.fromEntries(all.flatMap(({ path, [what]: text }) => (text === undefined ? [] : [[path, text]])));

test("what was changed on the machine is in the project or beside it, and what was changed here is in the project", async () => {
  await fc.assert(
    fc.asyncProperty(stories, async (all) => {
      const world = snapshotWorld();
      try {
        const first = world.machine("first", having(all, "sent"));
        for (const { path, sent, onMachine } of all) {
          if (onMachine === sent) continue;
          if (onMachine === undefined) rmSync(join(first.project, path));
          else first.edit(path, onMachine);
        }
        await first.save(1);
        const second = world.machine("second", having(all, "here"));
        const found = await second.restore(2);
        for (const file of all) checkOne(file, second, found?.conflictFolder ?? "");
        expect(new Set(filesBelow(second.project))).toEqual(
          new Set(all.filter((file) => expected(file) !== undefined).map(({ path }) => path)),
        );
      } finally {
        world.dispose();
      }
    }),
    { numRuns: 30 },
  );
});

/** What has to be in the project of the second machine. */
function expected({ sent, onMachine, here }: FileStory): string | undefined {
  if (onMachine === sent) return here; // only here was anything done
  return here === sent ? onMachine : here;
}

function checkOne(file: FileStory, machine: { project: string }, conflicts: string): void {
  expect(textOf(join(machine.project, file.path)), JSON.stringify(file)).toBe(expected(file));
  const isLostFromProject = file.onMachine !== file.sent && file.onMachine !== expected(file);
  const beside = isLostFromProject ? file.onMachine : undefined; // a deletion leaves nothing to put beside
  expect(textOf(join(conflicts, file.path)), JSON.stringify(file)).toBe(beside);
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function filesBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
}
