/** The guard as a resource: created before every machine, deleted after all of them. See guard-handlers.ts. */
import * as pulumi from "@pulumi/pulumi";
import type { GuardInputs } from "./guard-handlers.ts";
import { guardProvider } from "./provider.ts";

export class StackGuard extends pulumi.dynamic.Resource {
  /** Marks every label of this stack. */
  declare readonly scope: pulumi.Output<string>;
  declare readonly marketUrl: pulumi.Output<string>;
  declare readonly accountId: pulumi.Output<number>;

  constructor(name: string, args: GuardInputs, options?: pulumi.CustomResourceOptions) {
    // An output exists on the object only if its key is among the properties.
    const outputs = {
      schemaVersion: undefined,
      uid: undefined,
      scope: undefined,
      marketUrl: undefined,
      accountId: undefined,
    };
    super(guardProvider, name, { ...outputs, ...args }, options, "vastlane", "Guard");
  }
}
