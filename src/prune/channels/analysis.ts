// Which output channels of a model belong together, which may go, and what goes with them. One walk over the main graph
// labels each value with its channels; everything that the rules don't know keeps the channels that it reads.
//
// Conservative on purpose: a channel that stays by mistake costs speed, one that goes by mistake costs the answer.
import { type Definition, isStandard, lookUp, type Scope, scopesOf } from '../../onnx/graph.js';
import type { ModelProto, NodeProto, TensorProto } from '../../onnx/schema/onnx_pb.js';
import { rootOf } from '../weight-uses.js';
import { contraction } from './contraction.js';
import { elementwise } from './elementwise.js';
import { integersIn } from './integers.js';
import type { Label } from './labels.js';
import { layout } from './layout.js';
import type { ChannelFamily, RuleContext } from './rule.js';
import { ChannelSets } from './sets.js';

/** A weight with its number of output channels; `stays` says why none of them may go. */
export interface WeightRows {
  name: string;
  rows: number;
  stays?: string | undefined;
}

/** A constant vector whose elements become zero with their channels, or why they cannot. */
export interface Follower {
  tensor: TensorProto;
  channels: Int32Array;
  stays?: string | undefined;
}

export interface ChannelFacts {
  sets: ChannelSets;
  /** The output channels of each weight. */
  channels: ReadonlyMap<TensorProto, Int32Array>;
  followers: Follower[];
}

const rules: ChannelFamily = { ...elementwise, ...contraction, ...layout };

/** They read shapes, not channels. */
const shapeReaders: ReadonlySet<string> = new Set(['Shape', 'Size']);

/** Analyses the channels of a model. `weights` are all tensors that are weights of operators. */
export function analyseChannels(model: ModelProto, weights: ReadonlyMap<TensorProto, WeightRows>): ChannelFacts {
  return new Analysis(model, weights).run();
}

class Analysis {
  readonly #sets = new ChannelSets();
  readonly #channels = new Map<TensorProto, Int32Array>();
  readonly #labels = new Map<string, Label>();
  readonly #followers = new Map<TensorProto, Follower & { uses: number }>();
  readonly #scopes: readonly Scope[];
  readonly #functions: ReadonlySet<string>;

  constructor(model: ModelProto, weights: ReadonlyMap<TensorProto, WeightRows>) {
    this.#scopes = scopesOf(model);
    this.#functions = new Set(model.functions.map(({ name, domain }) => `${domain}:${name}`));
    for (const [tensor, { name, rows, stays }] of weights) {
      const channels = this.#sets.add(rows);
      this.#channels.set(tensor, channels);
      if (stays !== undefined) this.#sets.protect(channels, `belong together with those of ${name}: ${stays}`);
    }
  }

  run(): ChannelFacts {
    const [main, ...inner] = this.#scopes;
    if (main !== undefined) {
      for (const [index, node] of main.nodes.entries()) this.#node(node, index, main);
      for (const name of main.outputs) this.#keep(name, `are those of the output ${name}`);
    }
    for (const scope of inner) this.#innerScope(scope);
    this.#refuseShared();
    return { sets: this.#sets, channels: this.#channels, followers: [...this.#followers.values()] };
  }

  #node(node: NodeProto, index: number, scope: Scope): void {
    if (node.input.every((name) => name === '' || lookUp(scope, name)?.constant === true)) return;
    if (isStandard(node) && shapeReaders.has(node.opType)) return;
    const known = isStandard(node) && !this.#functions.has(`${node.domain}:${node.opType}`);
    const labels = known ? rules[node.opType]?.(this.#context(node, scope)) : undefined;
    if (labels === undefined) this.#mixing(node, index, scope);
    for (const [output, name] of node.output.entries()) {
      const label = labels?.[output];
      if (label !== undefined && name !== '') this.#labels.set(name, label);
    }
  }

  /** What a node reads stays, and so does what its own weights make. */
  #mixing(node: NodeProto, index: number, scope: Scope): void {
    const what = `${node.opType} ${node.name === '' ? `number ${index}` : node.name}`;
    for (const name of node.input) {
      this.#keep(name, `reach ${what}, which needs all of them`);
      this.#keepWeight(scope, name, `cannot be followed through ${what}`);
    }
  }

  #context(node: NodeProto, scope: Scope): RuleContext {
    const nameOf = (input: number) => node.input[input] ?? '';
    const definition = (input: number): Definition | undefined => lookUp(scope, nameOf(input));
    return {
      node,
      sets: this.#sets,
      label: (input) => this.#labels.get(nameOf(input)),
      isConstant: (input) => nameOf(input) === '' || definition(input)?.constant === true,
      definition,
      integers: (input) => integersIn(definition(input)),
      integersOf: (name) => integersIn(lookUp(scope, name)),
      weight: (input) => this.#weight(scope, nameOf(input)),
      follow: (input, channels) => this.#follow(definition(input), channels),
    };
  }

  #weight(scope: Scope, name: string): Int32Array | undefined {
    const root = rootOf(lookUp(scope, name));
    return root && this.#channels.get(root.tensor);
  }

  #follow(definition: Definition | undefined, channels: Int32Array): void {
    const root = rootOf(definition);
    if (definition === undefined || root === undefined) return;
    const { tensor } = root;
    const known = this.#followers.get(tensor);
    const follower = known ?? { tensor, channels, uses: 0 };
    follower.uses += 1;
    if (definition.kind === 'computed') follower.stays ??= `reaches its layer through ${definition.node.opType}`;
    const same = channels.every((channel, index) => channel === follower.channels[index]);
    if (!same || channels.length !== follower.channels.length) follower.stays = 'shared by several layers';
    this.#followers.set(tensor, follower);
  }

  /** Vectors that somebody else reads, too, cannot follow their channels. */
  #refuseShared(): void {
    const readers = new Map<TensorProto, number>();
    for (const scope of this.#scopes) {
      for (const name of [...scope.nodes.flatMap(({ input }) => input), ...scope.outputs]) {
        const definition = name === '' ? undefined : lookUp(scope, name);
        if (definition?.kind === 'tensor') readers.set(definition.tensor, (readers.get(definition.tensor) ?? 0) + 1);
      }
    }
    for (const follower of this.#followers.values()) {
      if ((readers.get(follower.tensor) ?? 0) > follower.uses) follower.stays ??= 'shared with other nodes';
    }
  }

  /** Nodes in subgraphs and functions: what they read of the main graph stays. */
  #innerScope(scope: Scope): void {
    const reason = `are read inside ${scope.path.slice(0, -1)}`;
    const names = [...scope.nodes.flatMap(({ input }) => input), ...scope.outputs];
    for (const name of names) {
      if (!scope.definitions.has(name)) this.#keep(name, reason);
      this.#keepWeight(scope, name, reason);
    }
  }

  #keep(name: string, reason: string): void {
    this.#sets.protect(this.#labels.get(name)?.channels ?? [], reason);
  }

  #keepWeight(scope: Scope, name: string, reason: string): void {
    this.#sets.protect(this.#weight(scope, name) ?? [], reason);
  }
}
