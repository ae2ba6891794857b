/**
 * Lifecycle of the stack's guard. It is recorded before any rent and deleted after every instance; its delete ends
 * whatever carries the stack's labels, so that a raw `pulumi destroy` after a killed `up` leaks nothing.
 *
 * | call   | market                                   | state                                        |
 * |--------|------------------------------------------|----------------------------------------------|
 * | create | GET users/current                        | uid, scope, market address, account id       |
 * | read   | GET users/current                        | unchanged; refuses another account's key     |
 * | delete | list, DELETE each of ours, list again    | gone                                         |
 */
import { randomBytes } from "node:crypto";
import { type HandlerContext, openSession } from "./handler-context.ts";
import { scopeOf } from "./label.ts";
import { sweep } from "./lifecycle.ts";
import type { AccountIdentity, MarketName } from "./market.ts";
import { forgetScope, rememberScope } from "./scopes.ts";

export interface GuardInputs {
  market: MarketName;
  organization: string;
  project: string;
  stack: string;
}

export interface GuardState extends GuardInputs, AccountIdentity {
  schemaVersion: 1;
  uid: string;
  scope: string;
}

const NAME = "guard";

export function guardHandlers(context: HandlerContext) {
  return {
    async create(inputs: GuardInputs) {
      const { account } = await openSession(context, { ...inputs, name: NAME });
      const uid = randomBytes(12).toString("hex");
      const scope = scopeOf({ ...inputs, uid });
      // Written before anything is rented: a disk that is full must fail here, where nothing bills yet.
      rememberScope(context.stateDir, scope, inputs);
      const outs: GuardState = { ...inputs, ...account, schemaVersion: 1, uid, scope };
      return { id: `vl-${inputs.stack}-guard`, outs };
    },

    async diff(_id: string, olds: GuardState, news: GuardInputs) {
      // Another market is another set of machines: those of the old one end with the old guard.
      const isMoved = olds.market !== news.market;
      return { changes: isMoved, replaces: isMoved ? ["market"] : [], deleteBeforeReplace: false };
    },

    async read(id: string, state: GuardState) {
      await openSession(context, { ...state, name: NAME }, state);
      rememberScope(context.stateDir, state.scope, state);
      return { id, props: state };
    },

    async delete(_id: string, state: GuardState): Promise<void> {
      const { deps } = await openSession(context, { ...state, name: NAME }, state);
      const ended = await sweep(deps, state.scope);
      deps.log(ended.length > 0 ? `swept ${ended.length} contract(s) of this stack` : "nothing of this stack is left");
      forgetScope(context.stateDir, state.scope);
    },
  };
}
