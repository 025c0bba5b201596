// Puts the compact graph together: nodes that are needed, tensors with the channels that stay, and declarations that
// fit. Everything else of the model is left as it is. Large tensors are not read here, but when the model is written.
import { create } from '@bufbuild/protobuf';
import { elementType } from '../onnx/dtypes.js';
import { isExternal } from '../onnx/external.js';
import {
  type GraphProto,
  type NodeProto,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
} from '../onnx/schema/onnx_pb.js';
import type { LazyBytes } from '../onnx/write.js';
import type { Edit } from './edit.js';
import type { Marks } from './marks.js';
import type { Network } from './network.js';
import type { NodeFacts } from './rule.js';
import { changedDims, changeTensor, isUnchanged, type TensorChange } from './slice.js';

export interface Assembly {
  network: Network;
  marks: Marks;
  edit: Edit;
  read(tensor: TensorProto): Uint8Array;
}

/** One input of a node that names a tensor, or a use by name that does not change: an output, a subgraph. */
interface Use {
  node: NodeFacts | undefined;
  input: number;
  change: TensorChange;
}

/** A tensor and what it becomes, under its own name or as another one. */
interface Changed {
  original: TensorProto;
  replaces: boolean;
  tensor: TensorProto;
  change: TensorChange;
}

const unchanged: TensorChange = { kept: [] };

/**
 * Changes the graph in place.
 *
 * @returns for tensors that are smaller now, where their bytes come from.
 */
export function assemble(graph: GraphProto, assembly: Assembly): Map<TensorProto, LazyBytes> {
  const { network, marks, edit } = assembly;
  const live = network.nodes.filter((node) => marks.isNodeLive(node));
  for (const node of live) {
    node.rule.rewrite?.(node, edit);
    edit.materializeLiterals(node);
  }
  const uses = collectUses(live, network, edit);
  const changes: Changed[] = [];
  const gone = new Set<string>();
  for (const [name, tensor] of network.tensors) {
    const own = uses.get(name);
    if (own !== undefined) changes.push(...changeUses(tensor, name, own, edit));
    else if (network.isUsed(name)) gone.add(name);
  }
  const nodes = new Set(live.map(({ proto }) => proto));
  graph.node = graph.node
    .filter((node) => nodes.has(node) || isKeptConstant(node, network, gone))
    .flatMap((node) => [node, edit.following.get(node) ?? []].flat());
  place(graph, changes, gone);
  graph.initializer.push(...edit.tensors);
  declare(graph, assembly, gone);
  return new Map(changes.map((change) => [change.tensor, lazyBytes(change, assembly.read)]));
}

/** A Constant node is no node of the network, but a tensor. */
function isKeptConstant(node: NodeProto, network: Network, gone: ReadonlySet<string>): boolean {
  const [name = ''] = node.output;
  return node.opType === 'Constant' && network.tensors.has(name) && !gone.has(name);
}

function collectUses(live: readonly NodeFacts[], network: Network, edit: Edit): Map<string, Use[]> {
  const uses = new Map<string, Use[]>();
  const add = (name: string, use: Use): void => {
    if (!network.tensors.has(name)) return;
    const known = uses.get(name);
    if (known === undefined) uses.set(name, [use]);
    else known.push(use);
  };
  for (const node of live) {
    for (const [input, value] of node.inputs.entries()) {
      if (value?.data?.direct === true) add(value.name, { node, input, change: edit.changeOf(value) });
    }
    for (const { name } of node.captured) add(name, { node: undefined, input: 0, change: unchanged });
  }
  for (const { name } of network.outputs) add(name, { node: undefined, input: 0, change: unchanged });
  return uses;
}

/** Uses that want the same tensor share it. Those that want it as it was keep its name, or else the first kind does. */
function changeUses(tensor: TensorProto, name: string, uses: readonly Use[], edit: Edit): Changed[] {
  const kinds = new Map<string, Use[]>();
  for (const [index, use] of uses.entries()) {
    const key = keyOf(use.change, index);
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, [use]);
    else kind.push(use);
  }
  const keeper = kinds.has('') ? '' : [...kinds.keys()][0];
  return [...kinds].flatMap(([key, kind]) => {
    const [first] = kind;
    if (key === '' || first === undefined) return [];
    const own = key === keeper ? name : edit.names.fresh(name);
    for (const { node, input } of kind) if (node !== undefined) node.proto.input[input] = own;
    return [
      {
        original: tensor,
        replaces: key === keeper,
        tensor: changedTensor(tensor, own, first.change),
        change: first.change,
      },
    ];
  });
}

/** Equal for changes that give the same tensor. */
function keyOf(change: TensorChange, index: number): string {
  if (isUnchanged(change)) return '';
  const own = change.addend === undefined && change.merge === undefined ? '' : index;
  return `${own}${JSON.stringify(change.kept)}`;
}

/** The declaration of the tensor with fewer channels; its bytes come when it is written. */
function changedTensor(tensor: TensorProto, name: string, change: TensorChange): TensorProto {
  const { dataType, docString, metadataProps, dataLocation, $unknown } = tensor;
  const dims = changedDims(tensor.dims.map(Number), change).map(BigInt);
  const changed = create(TensorProtoSchema, { name, dims, dataType });
  if (docString !== '') changed.docString = docString;
  changed.metadataProps = metadataProps;
  if (isExternal(tensor)) changed.dataLocation = dataLocation;
  if ($unknown !== undefined) changed.$unknown = $unknown;
  return changed;
}

function lazyBytes({ original, tensor, change }: Changed, read: Assembly['read']): LazyBytes {
  const { bits } = elementType(original.dataType);
  const width = bits / 8;
  const dims = original.dims.map(Number);
  const byteLength = tensor.dims.reduce((product, dim) => product * Number(dim), width);
  return {
    byteLength,
    read: () => changeTensor(read(original), { dims, dataType: original.dataType, width }, change),
  };
}

/** Puts changed tensors in the places of the old ones, and new ones at the end. */
function place(graph: GraphProto, changes: readonly Changed[], gone: ReadonlySet<string>): void {
  const replacements = new Map(
    changes.flatMap(({ original, replaces, tensor }) => (replaces ? [[original, tensor]] : [])),
  );
  const left = graph.initializer.filter(({ name }) => !gone.has(name));
  const added = changes.flatMap(({ replaces, tensor }) => (replaces ? [] : [tensor]));
  graph.initializer = [...left.map((tensor) => replacements.get(tensor) ?? tensor), ...added];
  for (const attribute of graph.node.flatMap(({ opType, attribute }) => (opType === 'Constant' ? attribute : []))) {
    const replacement = attribute.t && replacements.get(attribute.t);
    if (replacement === undefined) continue;
    attribute.t = replacement;
  }
}

/** Declared shapes: those of values that are gone go, and those of shrunk ones are corrected. */
function declare(graph: GraphProto, assembly: Assembly, gone: ReadonlySet<string>): void {
  const produced = new Set([
    ...graph.node.flatMap(({ output }) => output),
    ...graph.input.map(({ name }) => name),
    ...graph.initializer.map(({ name }) => name),
  ]);
  graph.valueInfo = graph.valueInfo.filter(({ name }) => produced.has(name));
  graph.quantizationAnnotation = graph.quantizationAnnotation.filter(({ tensorName }) => produced.has(tensorName));
  // Before IR version 4 every initializer is declared as an input too.
  graph.input = graph.input.filter(({ name }) => !gone.has(name));
  const shapes = new Map(graph.initializer.map(({ name, dims }) => [name, dims]));
  for (const info of [...graph.valueInfo, ...graph.input]) correct(info, assembly, shapes.get(info.name));
}

function correct(info: ValueInfoProto, { network, marks }: Assembly, dims: readonly bigint[] | undefined): void {
  const shape = info.type?.value.case === 'tensorType' ? info.type.value.value.shape : undefined;
  const value = network.values.get(info.name);
  for (const [axis, dim] of (shape?.dim ?? []).entries()) {
    const length = value === undefined ? undefined : marks.kept(value, axis)?.length;
    const now = dims?.[axis] ?? (length === undefined ? undefined : BigInt(length));
    if (now !== undefined && dim.value.case === 'dimValue') dim.value = { case: 'dimValue', value: now };
  }
}
