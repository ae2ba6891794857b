/**
 * Lifecycle of one machine as a resource. The id is ours (`vl-<stack>-<name>`) and the contract an output, so a
 * machine that is replaced is an update, and what is deployed on it follows through `triggers`.
 *
 * | call   | does                                          | leaves                                         |
 * |--------|-----------------------------------------------|------------------------------------------------|
 * | create | adopt or rent, wait for SSH                   | a contract; recorded also when it is not ready |
 * | diff   | compares inputs, and the contract's condition | -                                              |
 * | read   | finds the contract in the account's list      | -                                              |
 * | update | repairs or replaces                           | as create                                      |
 * | delete | last checkpoint, DELETE, proof                | nothing                                        |
 */

import { formatError, messageOf } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { hoursWithin } from "../budget.ts";
import type { StackConfig } from "../config.ts";
import { removePin, writePin } from "../ssh/known-hosts.ts";
import { forgetHost, type HostNames, rememberHost } from "../ssh/register.ts";
import { askToStop } from "./ask-to-stop.ts";
import { type HandlerContext, openSession, type Session } from "./handler-context.ts";
import { canonicalJson, parseLabel, requestHashOf } from "./label.ts";
import { endContracts, listOurs, type MachineSpec, NotReadyError, obtain, type ReadyMachine } from "./lifecycle.ts";
import type { AccountIdentity, MarketName } from "./market.ts";
import { userErrorOf } from "./market-messages.ts";
import { renderOnstart } from "./onstart.ts";
import { reconcile, wantedBid } from "./reconcile.ts";
import { situationOf } from "./situation.ts";
import type { Contract, SshAddress } from "./wire.ts";

export interface InstanceInputs extends AccountIdentity {
  name: string;
  stack: string;
  scope: string;
  market: MarketName;
  gpu: StackConfig["gpu"];
  rental: StackConfig["rental"];
  image: string;
  diskGB: number;
  env: Record<string, string>;
  maxHours: number;
  maxUsd: number;
  loadingTimeoutMinutes: number;
  publicKey: string;
  /** Alias and forwards of the host entry on this computer. */
  host: HostNames;
  /** Path on this computer; differs from person to person, so it is never a diff. */
  identityFile: string | null;
  /** Checkpoints go to a store; absent in the state of an older vastlane. */
  hasStore?: boolean;
}

/** What the machine turned out to be. Facts that move (load, credit, state) are read from the market when needed. */
export interface InstanceFacts {
  schemaVersion: 1;
  contractId: number | null;
  machineId: number | null;
  /** Such as `1x RTX 4090`. */
  gpuName: string;
  geolocation: string;
  pricePerHour: number;
  bidPerHour: number | null;
  /** What the last create, update or refresh saw; anything but "running" makes the next `up` repair it. */
  observed: string;
  sshUser: string;
  addresses: SshAddress[];
  hostKeys: string[];
}

export type InstanceState = InstanceInputs & InstanceFacts;

/** Inputs whose change is a change of the machine or of its contract. */
const COMPARED = [
  "scope",
  "market",
  "gpu",
  "rental",
  "image",
  "diskGB",
  "env",
  "loadingTimeoutMinutes",
  "publicKey",
  "host",
] as const;

const GRACE_SECONDS = 20;

/** Enough for a first deploy with a slow network; a machine that nobody reaches ends after it. */
const HEARTBEAT_MINUTES = 30;

export function instanceHandlers(context: HandlerContext) {
  const open = (of: InstanceInputs) => openSession(context, of, of);
  return {
    async create(inputs: InstanceInputs) {
      const session = await open(inputs);
      const id = `vl-${inputs.stack}-${inputs.name}`;
      return {
        id,
        outs: await settled(context, id, inputs, session.deps.log, () => obtain(session.deps, specOf(inputs))),
      };
    },

    /**
     * Also looks at the market, so that a plain `pulumi up` repairs what was stopped, outbid or changed by hand
     * without a refresh before it. A market that cannot be read is an error: nothing can be planned then.
     */
    async diff(_id: string, olds: InstanceState, news: InstanceInputs) {
      const changed = COMPARED.filter((key) => canonicalJson(olds[key]) !== canonicalJson(news[key]));
      // Another scope or market: the old machine belongs to the old guard, which sweeps it; do not run both.
      const replaces = changed.filter((key) => key === "scope" || key === "market");
      const changes =
        changed.length > 0 || olds.observed !== "running" || (await observeNow(await open(olds), olds)) !== "running";
      return { changes, replaces, deleteBeforeReplace: true };
    },

    async read(id: string, state: InstanceState) {
      const session = await open(state);
      const contract = await findRecorded(session, state);
      if (!contract) return {}; // an empty id: gone from a complete list of the right account
      return {
        id,
        props: {
          ...state,
          ...factsOf(contract, state.hostKeys, observe(contract, state)),
          bidPerHour: state.bidPerHour,
        },
      };
    },

    async update(id: string, olds: InstanceState, news: InstanceInputs) {
      const session = await open(news);
      const repair = () =>
        reconcile(
          session.deps,
          { spec: specOf(news), rental: news.rental, hasStore: news.hasStore === true },
          olds,
          (contract) => askToStop(contract, olds, GRACE_SECONDS, session.deps.log),
        );
      return { outs: await settled(context, id, news, session.deps.log, repair, olds) };
    },

    async delete(_id: string, state: InstanceState): Promise<void> {
      const session = await open(state);
      const ours = await listOurs(session.deps, state.scope, state.name);
      const recorded = await findRecorded(session, state);
      const all = new Map([...ours, ...(recorded ? [recorded] : [])].map((contract) => [contract.id, contract]));
      await Promise.all(
        [...all.values()].map((contract) => askToStop(contract, state, GRACE_SECONDS, session.deps.log)),
      );
      await endContracts(session.deps, [...all.keys()]);
      for (const contractId of all.keys()) removePin(context.stateDir, contractId);
      forgetHost(state.host.host, context.stateDir);
    },
  };
}

/** The request as the lifecycle wants it. The hash covers what cannot be changed on a rented machine. */
export function specOf(inputs: InstanceInputs): MachineSpec {
  const { image, diskGB, env, rental } = inputs;
  return {
    scope: inputs.scope,
    name: inputs.name,
    requestHash: requestHashOf({ image, diskGB, env, type: rental.type }),
    request: { gpu: inputs.gpu, rental, diskGB, minHours: inputs.maxHours },
    image,
    env,
    // A machine ends itself, with no laptop and no agent, when its time or its money is used up.
    onstart: (pricePerHour) =>
      renderOnstart({
        heartbeatMinutes: HEARTBEAT_MINUTES,
        maxHours: hoursWithin(inputs, pricePerHour),
        workspace: "/workspace",
      }),
    publicKey: inputs.publicKey,
    loadingTimeoutMinutes: inputs.loadingTimeoutMinutes,
  };
}

/** Runs a create or update; a machine that is rented but not ready is recorded through an initialisation failure. */
async function settled(
  context: HandlerContext,
  id: string,
  inputs: InstanceInputs,
  log: Log,
  act: () => Promise<ReadyMachine>,
  olds?: InstanceState,
): Promise<InstanceState> {
  try {
    const { contract, hostKeys } = await act();
    noteHost(context, inputs, log, contract, hostKeys);
    return { ...inputs, ...factsOf(contract, hostKeys, "running") };
  } catch (error) {
    if (!(error instanceof NotReadyError)) throw userErrorOf(error);
    const contract = error.contract;
    // The shape that Pulumi's provider server turns into "initialisation failed"; `inputs` includes the shim's
    // own `__provider`, without which the later delete fails.
    const message = notReady(contract, error.reason, inputs.stack);
    throw Object.assign(new Error(message), {
      id,
      reasons: [message],
      properties: {
        ...inputs,
        ...factsOf(
          contract,
          // Still good for the same machine: without them no last checkpoint could be asked for.
          olds?.contractId === contract.id ? olds.hostKeys : [],
          situationOf(contract) === "running" ? "not-ready" : situationOf(contract),
        ),
      },
    });
  }
}

/** Files on this computer. When they cannot be written the machine is recorded all the same, as it bills. */
function noteHost(context: HandlerContext, inputs: InstanceInputs, log: Log, contract: Contract, hostKeys: string[]) {
  try {
    writePin(context.stateDir, contract.id, hostKeys);
    const note = rememberHost(inputs.host, { user: contract.sshUser, identityFile: inputs.identityFile }, context);
    if (note) log(note);
  } catch (error) {
    throw new NotReadyError(contract, `its SSH entry cannot be written on this computer: ${messageOf(error)}`);
  }
}

function notReady(contract: Contract, reason: string, stack: string): string {
  const price = (contract.gpuPricePerHour + contract.diskPricePerHour).toFixed(3);
  return formatError("VL_NOT_READY", {
    what: `contract ${contract.id} is rented at $${price}/h but not usable yet; it is kept in the state`,
    why: reason.replace(/^VL_[A-Z_]+: /, ""),
    hint: `\`vastlane up --stack ${stack}\` goes on with it, \`vastlane destroy --stack ${stack}\` ends it`,
  });
}

function factsOf(contract: Contract, hostKeys: string[], observed: string): InstanceFacts {
  return {
    schemaVersion: 1,
    contractId: contract.id,
    machineId: contract.machineId,
    gpuName: `${contract.gpuCount}x ${contract.gpuName}`,
    geolocation: contract.geolocation,
    pricePerHour: round(contract.gpuPricePerHour + contract.diskPricePerHour),
    bidPerHour: contract.isBid ? contract.gpuPricePerHour : null,
    observed,
    sshUser: contract.sshUser,
    addresses: contract.addresses,
    hostKeys,
  };
}

/** What refresh saw, in a word; "running" means that there is nothing to repair. */
function observe(contract: Contract, state: InstanceState): string {
  const label = parseLabel(contract.label);
  if (label?.scope !== state.scope || label.name !== state.name) return "relabelled";
  const situation = situationOf(contract);
  if (situation !== "running") return situation;
  if (wantedBid(contract, state.rental, state.bidPerHour) !== undefined) return "rebid";
  return state.observed === "not-ready" ? "not-ready" : "running";
}

async function observeNow(session: Session, state: InstanceState): Promise<string> {
  const contract = await findRecorded(session, state);
  return contract ? observe(contract, state) : "gone";
}

async function findRecorded(session: Session, state: InstanceState): Promise<Contract | undefined> {
  try {
    return (await session.deps.contracts.fresh()).find(({ id }) => id === state.contractId);
  } catch (error) {
    throw userErrorOf(error);
  }
}

const round = (usd: number) => Math.round(usd * 1e5) / 1e5;
