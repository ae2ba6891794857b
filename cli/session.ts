/** A market session for commands that only look: the stack's market, account and scope. */
import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { promisify } from "node:util";
import { UserError } from "../common/errors.ts";
import { silent } from "../common/log.ts";
import { machineNames, type StackConfig } from "../infra/config.ts";
import { environmentOf, findProjectRoot, stateFolder } from "../infra/project.ts";
import { resolveKeys } from "../infra/ssh/keys.ts";
import type { SshTarget } from "../infra/ssh/target.ts";
import type { Account } from "../infra/vast/api.ts";
import { createDeps } from "../infra/vast/context.ts";
import { hostAlias } from "../infra/vast/host-alias.ts";
import type { Deps } from "../infra/vast/lifecycle.ts";
import { type Market, readAccount, resolveMarket } from "../infra/vast/market.ts";
import { resolveMachine } from "../infra/vast/resolve-host.ts";
import { readScopes, rememberScope } from "../infra/vast/scopes.ts";
import type { Io } from "./command.ts";
import { projectName, pulumiEnv, resolveEngine } from "./engine.ts";
import { readStackConfig } from "./operation.ts";

export interface MarketSession {
  root: string;
  stateDir: string;
  stack: string;
  config: StackConfig;
  market: Market;
  deps: Deps;
  account: Account;
}

/** @throws UserError VL_NO_KEY, VL_EMULATOR_DOWN, VL_ACCOUNT_REFUSED, VL_MARKET_DOWN */
export async function openMarket(
  stack: string,
  io: Io,
  options: { skipAccount?: boolean; root?: string } = {},
): Promise<MarketSession> {
  const root = options.root ?? findProjectRoot(io.cwd);
  const stateDir = stateFolder(root);
  const config = readStackConfig(root, stack);
  const market = resolveMarket(config.market, root, environmentOf(root, io.env as NodeJS.ProcessEnv));
  const deps = createDeps({ market, stateDir, log: silent, signal: io.signal });
  const account = options.skipAccount ? { id: 0, creditUsd: 0 } : await readAccount(market, deps.api);
  return { root, stateDir, stack, config, market, deps, account };
}

/** The scope of a stack: remembered on this computer, else read from the stack's state. Undefined: never deployed. */
export async function scopeOfStack(
  session: Pick<MarketSession, "root" | "stateDir" | "stack">,
  io: Io,
): Promise<string | undefined> {
  const { root, stateDir, stack } = session;
  const project = projectName(root);
  const known = Object.entries(readScopes(stateDir)).find(([, it]) => it.stack === stack && it.project === project);
  return known ? known[0] : scopeInState(session, io);
}

/**
 * The scope that the stack's state holds now, whatever this computer remembers: another one may have destroyed the
 * stack. Undefined: the stack is not deployed, or its back end cannot be read.
 */
export async function scopeInState(
  session: Pick<MarketSession, "root" | "stateDir" | "stack">,
  io: Io,
): Promise<string | undefined> {
  const { root, stateDir, stack } = session;
  const engine = await resolveEngine({ env: io.env, root });
  let text: string;
  try {
    const env = pulumiEnv(stack, { env: io.env, root });
    ({ stdout: text } = await promisify(execFile)(engine.path, ["stack", "export", "--stack", stack], {
      env,
      cwd: root,
      maxBuffer: 1 << 28,
    }));
  } catch {
    return undefined; // no such stack in the back end yet
  }
  const resources: { type: string; outputs?: { scope?: string } }[] = JSON.parse(text).deployment?.resources ?? [];
  const scope = resources.find(({ type }) => type === "pulumi-nodejs:dynamic/vastlane:Guard")?.outputs?.scope;
  if (scope) rememberScope(stateDir, scope, { stack, project: projectName(root) });
  return scope;
}

/** The machine behind a host alias such as `vastlane-dev`. @throws UserError VL_NOT_FOUND */
export async function resolveHost(host: string, io: Io, root = findProjectRoot(io.cwd)): Promise<SshTarget> {
  for (const stack of stacksOf(root)) {
    const config = readStackConfig(root, stack);
    const name = machineNames(config).find((it) => hostAlias(config, stack, it) === host);
    if (name === undefined) continue;
    return resolveTarget(stack, name, io, root);
  }
  throw new UserError("VL_NOT_FOUND", {
    what: `no stack of ${root} has the host alias ${host}`,
    why: `stacks: ${stacksOf(root).join(", ") || "none"}`,
    hint: "see vastlane:ssh.host in the stack's file",
  });
}

/** The machine `name` of a stack. Does not read the account: connecting must be fast. */
export async function resolveTarget(
  stack: string,
  name: string,
  io: Io,
  root = findProjectRoot(io.cwd),
): Promise<SshTarget> {
  const session = await openMarket(stack, io, { skipAccount: true, root });
  const names = machineNames(session.config);
  if (!names.includes(name)) {
    throw new UserError("VL_NOT_FOUND", {
      what: `stack ${stack} has no machine named ${name}`,
      why: `Pulumi.${stack}.yaml asks for: ${names.join(", ")}`,
      hint: `vastlane status --stack ${stack}`,
    });
  }
  const scope = await scopeOfStack(session, io);
  if (scope === undefined) {
    throw new UserError("VL_NOT_FOUND", {
      what: `stack ${stack} has no machine`,
      why: "it was never deployed, or was destroyed",
      hint: `vastlane up --stack ${stack}`,
    });
  }
  const { identityFile } = resolveKeys(session.config.ssh, session.config.market, session.stateDir);
  return resolveMachine(session.deps, { scope, name, stack, stateDir: session.stateDir, identityFile });
}

/** Stacks with a configuration file. */
export function stacksOf(root: string): string[] {
  return readdirSync(root)
    .flatMap((file) => /^Pulumi\.([\w-]+)\.yaml$/.exec(file)?.[1] ?? [])
    .sort();
}
