/**
 * The same program and the same provider code without the Pulumi engine, through Pulumi's own `runtime.setMocks`: for
 * the demo on a computer where no engine can be had, and for fast tests of the program. It is no engine: it creates
 * or updates everything in the program's order and ends it in reverse; a crash in between is not recovered by it.
 *
 * Run as `node cli/in-process.ts up|destroy STACK FILE` in the project's `infra` folder or the project itself; FILE
 * keeps what was created between the two.
 */
import { execFileSync } from "node:child_process";
import { isDeepStrictEqual } from "node:util";
import * as pulumi from "@pulumi/pulumi";
import { Bug } from "../common/errors.ts";
import { readJsonIfThere, writeFileAtomic } from "../common/files.ts";
import { findProjectRoot } from "../infra/project.ts";
import { configTexts } from "./operation.ts";

export interface CreatedResource {
  type: string;
  name: string;
  id: string;
  state: Record<string, unknown>;
}

const GUARD = "pulumi-nodejs:dynamic/vastlane:Guard";
const INSTANCE = "pulumi-nodejs:dynamic/vastlane:Instance";
const BUCKET = "pulumi-nodejs:dynamic/vastlane:Bucket";
const COMMAND = "command:local:Command";

/**
 * Runs the program once; returns what there is then, in the order of the program, and its outputs. `before` is what an
 * earlier run returned: it is kept, or updated where the provider sees a difference.
 */
export async function runProgram(
  stack: string,
  project: string,
  before: readonly CreatedResource[] = [],
): Promise<{ resources: CreatedResource[]; outputs: Record<string, unknown> }> {
  const root = findProjectRoot(process.cwd());
  const resources: CreatedResource[] = [];
  const { bucket, guard, instance } = await import("../infra/vast/provider-entry.ts");
  const create = async ({
    type,
    name,
    inputs,
  }: pulumi.runtime.MockResourceArgs): Promise<{ id: string; state: Record<string, unknown> }> => {
    const known = before.find((it) => it.type === type && it.name === name);
    if (known && (type === GUARD || type === BUCKET)) return known;
    if (known && type === INSTANCE) {
      const olds = known.state as never;
      if (!(await instance.diff(known.id, olds, inputs)).changes) return known;
      return stateOf({ id: known.id, ...(await instance.update(known.id, olds, inputs)) });
    }
    if (known && type === COMMAND && isDeepStrictEqual(known.state.triggers, inputs.triggers)) return known;
    if (type === GUARD) return stateOf(await guard.create(inputs));
    if (type === INSTANCE) return stateOf(await instance.create(inputs));
    if (type === BUCKET) return stateOf(await bucket.create(inputs));
    if (type === COMMAND) return { id: name, state: { ...inputs, stdout: runCommand(inputs) } };
    return { id: name, state: inputs };
  };
  await pulumi.runtime.setMocks(
    {
      async newResource(args) {
        const made = await create(args);
        resources.push({ type: args.type, name: args.name, ...made });
        return made;
      },
      call: ({ token }) => {
        throw new Bug(`the program calls ${token}, which has no stand-in`);
      },
    },
    project,
    stack,
    false,
    "organization",
  );
  pulumi.runtime.setAllConfig(configTexts(root, stack));
  const outputs = (await import("../infra/index.ts")) as Record<string, unknown>;
  const values = await Promise.all(
    Object.entries(outputs).map(async ([name, value]) => [name, await settledValue(value)] as const),
  );
  await pulumi.runtime.disconnect();
  return { resources, outputs: Object.fromEntries(values) };
}

/** Ends what a run created, the last first. */
export async function endProgram(resources: readonly CreatedResource[]): Promise<void> {
  const { guard, instance } = await import("../infra/vast/provider-entry.ts");
  for (const { type, id, state } of [...resources].reverse()) {
    if (type === INSTANCE) await instance.delete(id, state as never);
    if (type === GUARD) await guard.delete(id, state as never);
  }
}

function stateOf({ id, outs }: { id: string; outs: object }): { id: string; state: Record<string, unknown> } {
  return { id, state: outs as Record<string, unknown> };
}

function runCommand(inputs: { create: string; environment?: Record<string, string>; stdin?: string }): string {
  const env = { ...process.env, ...inputs.environment };
  return execFileSync("sh", ["-c", inputs.create], {
    encoding: "utf8",
    env,
    input: inputs.stdin ?? "",
    stdio: ["pipe", "pipe", "inherit"],
  });
}

function settledValue(value: unknown): Promise<unknown> {
  return new Promise((resolve) => (pulumi.output(value) as pulumi.Output<unknown>).apply(resolve));
}

if (import.meta.main) {
  const [verb, stack = "", file = ""] = process.argv.slice(2);
  if (verb === "up") {
    const saved = readJsonIfThere(file) as { resources: CreatedResource[] } | undefined;
    const before = saved?.resources ?? [];
    const { resources, outputs } = await runProgram(stack, "vastlane", before);
    await endProgram(
      before.filter((old) => !resources.some(({ type, name }) => type === old.type && name === old.name)),
    );
    writeFileAtomic(file, JSON.stringify({ resources, outputs }), 0o600);
  } else {
    const saved = readJsonIfThere(file) as { resources: CreatedResource[] } | undefined;
    await endProgram(saved?.resources ?? []);
  }
  process.exit(0); // the watch over the operation keeps nothing else open
}
