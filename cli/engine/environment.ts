/**
 * The environment in which the engine runs, for our own commands and (by `vastlane env`) for raw `pulumi`.
 * Stacks on the emulated market keep their state in a folder of the project with an empty passphrase: whatever
 * back end the person is logged in to must never see a demo. Other stacks use the person's own back end.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parse } from "yaml";
import { messageOf, UserError } from "../../common/errors.ts";
import { readFileIfThere } from "../../common/files.ts";
import { type Env, projectRoot, stateFolder, vastlaneFolder } from "../project.ts";
import { pathWithEngine, pulumiHome } from "./location.ts";

export interface EnvironmentOptions {
  env?: Env;
  root?: string;
}

/** Changes to an environment: variables to set and variables that must not be there. */
export interface Variables {
  set: Record<string, string>;
  unset: string[];
}

/**
 * The market that a stack's file names; undefined when there is no such file.
 * @throws UserError VL_BAD_CONFIG when the file is not YAML.
 */
export function stackMarket(stack: string, root = projectRoot): "emulator" | "vast" | undefined {
  const file = `Pulumi.${stack}.yaml`;
  const text = readFileIfThere(join(root, file));
  if (text === undefined) return undefined;
  const market = readYaml(text, file)?.config?.["vastlane:market"];
  return market === "emulator" ? "emulator" : "vast";
}

/** The stacks that have a file. */
export function stackNames(root = projectRoot): string[] {
  const names = readdirSync(root).map((file) => /^Pulumi\.([\w-]+)\.yaml$/.exec(file)?.[1]);
  return names.filter((name) => name !== undefined).sort();
}

/** The project's name in Pulumi.yaml; part of every path in the back end. */
export function projectName(root = projectRoot): string {
  const text = readFileIfThere(join(root, "Pulumi.yaml"));
  const name = text === undefined ? undefined : readYaml(text, "Pulumi.yaml")?.name;
  if (typeof name === "string") return name;
  throw new UserError("VL_BAD_CONFIG", {
    what: `${join(root, "Pulumi.yaml")} is missing or names no project.`,
    hint: "git checkout Pulumi.yaml",
  });
}

/** What any use of the engine needs, whatever the stack. */
export function engineVariables(env: Env, root: string): Record<string, string> {
  return {
    PATH: pathWithEngine(env, root),
    PULUMI_HOME: pulumiHome(env),
    PULUMI_SKIP_UPDATE_CHECK: "true",
    // Program and provider load all of @pulumi/pulumi; compiled once, an `up` is half a second shorter.
    NODE_COMPILE_CACHE: join(vastlaneFolder(env, root), "node-cache"),
    // The version is pinned by the folder that it lies in: no extra `pulumi version` before each operation.
    PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK: "true",
  };
}

/** What has to change in `env` for operations on this stack. */
export function pulumiVariables(stack: string, options: EnvironmentOptions = {}): Variables {
  const { env = process.env, root = projectRoot } = options;
  const set: Record<string, string> = { ...engineVariables(env, root), PULUMI_STACK: stack };
  if (stackMarket(stack, root) !== "emulator") return { set, unset: [] };
  // Without checksum sidecars: those are not written whole, and a killed engine leaves one that nothing can read.
  set.PULUMI_BACKEND_URL = `${pathToFileURL(stateFolder(env, root)).href}?metadata=skip`;
  set.PULUMI_CONFIG_PASSPHRASE = "";
  return { set, unset: ["PULUMI_CONFIG_PASSPHRASE_FILE"] };
}

/** A whole environment for a child process that operates on this stack. */
export function pulumiEnv(stack: string, options: EnvironmentOptions = {}): Record<string, string> {
  const { env = process.env } = options;
  const { set, unset } = pulumiVariables(stack, options);
  const whole: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...env, ...set })) {
    if (value !== undefined && !unset.includes(name)) whole[name] = value;
  }
  return whole;
}

function readYaml(text: string, file: string) {
  try {
    return parse(text);
  } catch (cause) {
    throw new UserError("VL_BAD_CONFIG", { what: `${file} is not valid YAML.`, why: messageOf(cause), cause });
  }
}
