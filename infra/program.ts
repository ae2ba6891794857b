/**
 * The parts of the Pulumi program, so that index.ts stays a list of them: configuration, names, preview.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as pulumi from "@pulumi/pulumi";
import { silent } from "../common/log.ts";
import { machineNames, parseConfig, type StackConfig } from "./config.ts";
import {
  type Bundles,
  type DeploySpec,
  deploySpec,
  findSecrets,
  ofGeneration,
  secretsFingerprint,
} from "./deploy/index.ts";
import { environmentOf, findProjectRoot, stateFolder } from "./project.ts";
import { planRun, type RunPlan } from "./run.ts";
import { runIdOf } from "./run-id.ts";
import { type KeyChoice, resolveKeys } from "./ssh/keys.ts";
import type { StoreResources } from "./storage/resources.ts";
import { createDeps } from "./vast/context.ts";
import { readAccount, resolveMarket } from "./vast/market.ts";
import { previewMachines } from "./vast/preview.ts";

export interface Project {
  root: string;
  stateDir: string;
  stack: string;
  config: StackConfig;
  keys: KeyChoice;
  machineNames: string[];
}

/** Reads and checks what the stack says. @throws pulumi.RunError with the text of a UserError */
export function readProject(): Project {
  try {
    const root = findProjectRoot(process.cwd());
    const stateDir = stateFolder(root);
    const stack = pulumi.getStack();
    const config = parseConfig(vastlaneConfig(), `Pulumi.${stack}.yaml`);
    return {
      root,
      stateDir,
      stack,
      config,
      keys: resolveKeys(config.ssh, config.market, stateDir),
      machineNames: machineNames(config),
    };
  } catch (error) {
    throw readable(error);
  }
}

/** What each machine is to be sent, with the values of secrets found before anything is rented. */
export interface Shipment {
  spec: DeploySpec;
  configSecrets: pulumi.Output<Record<string, string>> | undefined;
  secretsFingerprint: string;
}

/** @throws pulumi.RunError when the project cannot be read, a secret has no value, or the agent cannot be built. */
export function prepareShipment({ root, stateDir, stack, config, keys }: Project): Shipment {
  try {
    const secretConfig = new pulumi.Config("vastlane");
    const { here, inConfig } = findSecrets(
      config.secrets,
      environmentOf(root),
      (name) => secretConfig.get(name) !== undefined,
    );
    const spec = deploySpec({
      root,
      config,
      runId: runIdOf(stack, config),
      identityFile: keys.identityFile,
      bundles: buildBundles(stateDir),
    });
    for (const { path, reason } of spec.leftOut) pulumi.log.warn(`not sent: ${path} ${reason}`);
    return {
      spec,
      configSecrets:
        inConfig.length === 0
          ? undefined
          : pulumi.all(Object.fromEntries(inConfig.map((name) => [name, secretConfig.requireSecret(name)]))),
      secretsFingerprint: secretsFingerprint({ ...here, ...runKeysOf(root) }, `${pulumi.getProject()}/${stack}`),
    };
  } catch (error) {
    throw readable(error);
  }
}

/** Keys that a person made for machines: another one has to reach them, as another secret has. */
function runKeysOf(root: string): Record<string, string> {
  const entries = Object.entries(environmentOf(root)).filter(([name]) => name.startsWith("VASTLANE_RUN_"));
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** What the run's record says about renting, and which machines that leaves. */
export interface ProjectRun extends RunPlan {
  machineNames: string[];
}

/** @throws pulumi.RunError when the store is unusable, or the record says that the run must not go on. */
export async function planProjectRun(project: Project, { spec }: Pick<Shipment, "spec">): Promise<ProjectRun> {
  const { root, stack, config } = project;
  try {
    const run = await planRun({ root, stack, config, hashes: spec.hashes });
    if (run.text !== undefined) pulumi.log.info(run.text);
    return { ...run, machineNames: run.isClosed ? [] : project.machineNames };
  } catch (error) {
    throw readable(error);
  }
}

/** The shipment with the keys that the program made for the store, and as the run's next fresh start if it is one. */
export function withRunKeys(shipment: Shipment, { runKeys }: StoreResources, { generation }: RunPlan): Shipment {
  const spec = ofGeneration(shipment.spec, generation);
  const { configSecrets } = shipment;
  if (!runKeys) return { ...shipment, spec };
  const all = configSecrets
    ? pulumi.all([configSecrets, runKeys]).apply(([secrets, keys]): Record<string, string> => ({ ...secrets, ...keys }))
    : runKeys;
  return { ...shipment, spec, configSecrets: pulumi.secret(all) };
}

/** A process of its own: the runtime is shipped, never imported. Reused while its sources are unchanged. */
function buildBundles(stateDir: string): Bundles {
  const script = fileURLToPath(new URL("../runtime/agent/build.ts", import.meta.url));
  return JSON.parse(execFileSync(process.execPath, [script, join(stateDir, "build")], { encoding: "utf8" }));
}

/**
 * In a preview, prints what each machine costs or would cost. It is a message, never an input: prices move, and a
 * price is no difference between what is and what should be.
 */
export async function announceCost(
  project: Project,
  { machineNames: names }: ProjectRun,
  scope: pulumi.Output<string>,
): Promise<void> {
  if (!pulumi.runtime.isDryRun()) return;
  try {
    const market = resolveMarket(project.config.market, project.root);
    const deps = createDeps({ market, stateDir: project.stateDir, log: silent, signal: new AbortController().signal });
    await readAccount(market, deps.api);
    for (const line of await previewMachines(deps, project.config, names, await knownValue(scope))) {
      pulumi.log.info(line);
    }
  } catch (error) {
    throw readable(error);
  }
}

/** The errors of ours as Pulumi shows them: their text, without a stack. */
function readable(error: unknown): unknown {
  return error instanceof Error && error.name === "UserError" ? new pulumi.RunError(error.message) : error;
}

function vastlaneConfig(): Record<string, unknown> {
  const prefix = "vastlane:";
  const all = Object.entries(pulumi.runtime.allConfig());
  return Object.fromEntries(
    all.filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]),
  );
}

/** An output's value, or undefined while a preview cannot know it (the guard does not exist yet). */
async function knownValue(output: pulumi.Output<string>): Promise<string | undefined> {
  const { isKnown } = output as unknown as { isKnown: Promise<boolean> };
  if (!(await isKnown)) return undefined;
  return new Promise((resolve) => output.apply(resolve));
}
