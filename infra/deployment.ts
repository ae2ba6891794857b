/**
 * The project on the machine, as a resource: `@pulumi/command` runs the push script (deploy/push.ts) whenever the machine or
 * the content is another one. It has no delete step and no secret among its inputs, so it can neither block a
 * `destroy` nor leak anything into the state.
 */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { type DeploySpec, REQUEST_VARIABLE, requestFor, STDIN_VARIABLE } from "./deploy/index.ts";
import type { SshAddress } from "./ssh/target.ts";

/** What a deploy needs of a machine; `VastInstance` has it. */
export interface DeployedMachine {
  contractId: pulumi.Input<number>;
  sshUser: pulumi.Input<string>;
  addresses: pulumi.Input<SshAddress[]>;
  hostKeys: pulumi.Input<string[]>;
  /** USD per hour. */
  pricePerHour: pulumi.Input<number>;
}

export interface DeployArgs {
  machine: DeployedMachine;
  /** Among the stack's machines. */
  machineName: string;
  spec: DeploySpec;
  /** Values of secrets that only Pulumi has: of its configuration, or keys that the program made. A Pulumi secret. */
  configSecrets?: pulumi.Output<Record<string, string>> | undefined;
  /** `secretsFingerprint` of those that this computer's environment has. */
  secretsFingerprint?: string;
}

export class Deploy extends pulumi.ComponentResource {
  /** One line of JSON from the last push: how many files were sent, and which were kept as edited on the machine. */
  readonly report: pulumi.Output<string>;

  constructor(name: string, args: DeployArgs, options?: pulumi.ComponentResourceOptions) {
    super("vastlane:deploy:Deploy", name, {}, options);
    const { machine, machineName, spec, configSecrets } = args;
    const request = pulumi
      .all([machine.contractId, machine.sshUser, machine.addresses, machine.hostKeys, machine.pricePerHour])
      .apply(([contractId, user, addresses, hostKeys, pricePerHour]) =>
        JSON.stringify(requestFor(spec, { contractId, user, addresses, hostKeys }, pricePerHour, machineName)),
      );
    const command = new local.Command(
      `${name}-push`,
      {
        // Relative to the program's folder, where the engine runs it: an absolute path would tie the state to this clone.
        create: `exec node ${relative(process.cwd(), fileURLToPath(new URL("deploy/push.ts", import.meta.url)))}`,
        environment: { [REQUEST_VARIABLE]: request, ...(configSecrets ? { [STDIN_VARIABLE]: "1" } : {}) },
        ...(configSecrets ? { stdin: pulumi.secret(configSecrets.apply((values) => JSON.stringify(values))) } : {}),
        // Contract and content: a replaced machine gets everything again, an unchanged project nothing.
        triggers: [machine.contractId, spec.contentHash, pulumi.secret(args.secretsFingerprint ?? "")],
        // stderr is the progress, stdout the report.
        logging: local.Logging.Stderr,
        addPreviousOutputInEnv: false,
      },
      { parent: this, customTimeouts: { create: "2h", update: "2h" } },
    );
    this.report = command.stdout;
    this.registerOutputs({});
  }
}
