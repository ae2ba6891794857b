/** A rented machine as a resource: what users write. See instance-handlers.ts for what happens. */
import * as pulumi from "@pulumi/pulumi";
import type { StackConfig } from "../config.ts";
import type { KeyChoice } from "../ssh/keys.ts";
import type { StackGuard } from "./guard.ts";
import { hostAlias } from "./host-alias.ts";
import { instanceProvider } from "./provider.ts";
import type { SshAddress } from "./wire.ts";

export interface VastInstanceArgs {
  /** Every machine hangs on its stack's guard: it gives the scope, and ends what was lost. */
  guard: StackGuard;
  config: StackConfig;
  keys: KeyChoice;
  /** What must be there before a machine is worth its rent: the checkpoint store. */
  after?: pulumi.Resource[];
}

export class VastInstance extends pulumi.dynamic.Resource {
  declare readonly contractId: pulumi.Output<number>;
  declare readonly machineId: pulumi.Output<number>;
  /** Such as `1x RTX 4090`. */
  declare readonly gpuName: pulumi.Output<string>;
  declare readonly geolocation: pulumi.Output<string>;
  /** USD per hour while it runs: GPUs and disk. */
  declare readonly pricePerHour: pulumi.Output<number>;
  declare readonly sshUser: pulumi.Output<string>;
  declare readonly addresses: pulumi.Output<SshAddress[]>;
  /** Host keys pinned at the first contact, as `type base64`. */
  declare readonly hostKeys: pulumi.Output<string[]>;

  constructor(name: string, args: VastInstanceArgs, options?: pulumi.CustomResourceOptions) {
    const { guard, config, keys, after = [] } = args;
    const outputs = {
      schemaVersion: undefined,
      contractId: undefined,
      machineId: undefined,
      gpuName: undefined,
      geolocation: undefined,
      pricePerHour: undefined,
      bidPerHour: undefined,
      observed: undefined,
      sshUser: undefined,
      addresses: undefined,
      hostKeys: undefined,
    };
    const inputs = {
      name,
      stack: pulumi.getStack(),
      scope: guard.scope,
      market: config.market,
      marketUrl: guard.marketUrl,
      accountId: guard.accountId,
      gpu: config.gpu,
      rental: config.rental,
      image: config.machine.image,
      diskGB: config.machine.diskGB,
      env: config.machine.env,
      maxHours: config.budget.maxHours,
      maxUsd: config.budget.maxUsd,
      loadingTimeoutMinutes: config.machine.loadingTimeoutMinutes,
      publicKey: keys.publicKey,
      host: { host: hostAlias(config, pulumi.getStack(), name), localForward: config.ssh.localForward },
      identityFile: keys.identityFile,
      hasStore: config.checkpoint.store !== "none",
    };
    super(
      instanceProvider,
      name,
      { ...outputs, ...inputs },
      { ...options, dependsOn: [guard, ...after] },
      "vastlane",
      "Instance",
    );
  }
}
