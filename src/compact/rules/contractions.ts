// Conv, ConvTranspose, Gemm and MatMul: where channels end and new ones begin. An input channel is read where a weight
// of a needed output channel is not zero; one that is constant can be folded into the bias, or merged into a carrier.
import { setInt } from '../attributes.js';
import { type Contraction, channelsRead, constantOutputs, contribution, foldOf, isFoldable } from '../contraction.js';
import {
  type Couplings,
  type Demands,
  inputOf,
  type NodeFacts,
  outputOf,
  type Rewriter,
  type Rule,
  type RuleChoice,
  type RuleFamily,
} from '../rule.js';
import { constantsOf, lengthOf, type Value } from '../value.js';
import { joinBroadcast, joinBroadcastAxis, pinSpace } from './broadcast.js';
import { convolution, gemm, matMul } from './contraction-forms.js';
import { inputsOf } from './opaque.js';

const contractionRule: Rule = {
  constants(node) {
    const contraction = node.contraction;
    if (contraction === undefined) return;
    outputOf(node).constants[contraction.outAxis] = constantOutputs(contraction);
    if (node.proto.opType === 'MatMul') zeroBatches(node);
  },
  couple(node, net) {
    const contraction = node.contraction;
    if (contraction === undefined) return;
    const { x, xAxis, w, wAxis, rowAxis, outAxis, groups } = contraction;
    // A depthwise filter is a group of one channel.
    contraction.grouping = lengthOf(w, 1) > 1 ? net.grouping : 'whole';
    if (groups === 1) {
      net.joinAxes(x, xAxis, w, wAxis);
      net.joinAxes(w, rowAxis, outputOf(node), outAxis);
    } else if (contraction.grouping === 'whole') coupleWholeGroups(node, contraction, net);
    else coupleAcrossGroups(node, contraction, net);
    if (node.proto.opType.startsWith('Conv')) coupleConvolution(node, net);
    else coupleProduct(node, contraction, net);
  },
  demand(node, marks) {
    for (const input of inputsOf(node)) marks.need(input);
    if (node.contraction !== undefined && !goesWhole(node.contraction)) demandChannels(node, node.contraction, marks);
  },
  rewrite(node, edit) {
    if (node.contraction === undefined) return;
    if (goesWhole(node.contraction)) shrinkGroups(node, node.contraction, edit);
    else fold(node, node.contraction, edit);
  },
};

/** Whether input channels go with the output channels that read them. */
function goesWhole({ groups, grouping }: Contraction): boolean {
  return groups > 1 && grouping === 'whole';
}

/** A matrix of zeros makes a product of zeros: attention heads that are dead. */
function zeroBatches(node: NodeFacts): void {
  const out = outputOf(node);
  const rank = out.shape?.length ?? 0;
  for (const operand of [inputOf(node, 0), inputOf(node, 1)]) {
    const offset = rank - (operand.shape?.length ?? 0);
    for (let axis = 0; axis < rank - offset - 2; axis++) {
      const known = operand.data === undefined ? operand.constants[axis] : undefined;
      if (known === undefined || known.length !== lengthOf(out, axis + offset)) continue;
      const other = out.constants[axis + offset];
      out.constants[axis + offset] = known.map((value, index) => (value === 0 ? 0 : (other?.[index] ?? Number.NaN)));
    }
  }
}

/** The channels of a group go together: in, out and the weights between. */
function coupleWholeGroups(node: NodeFacts, { x, w, groups }: Contraction, net: Couplings): void {
  const out = outputOf(node);
  const [inputs, outputs] = [lengthOf(x, 1) / groups, lengthOf(out, 1) / groups];
  // The side of the weights that has all channels; the other has those of one group.
  const rows = node.proto.opType === 'Conv' ? out : x;
  for (let channel = 0; channel < lengthOf(x, 1); channel++) {
    net.join([x, 1, channel], [out, 1, Math.floor(channel / inputs) * outputs]);
  }
  for (let channel = 0; channel < lengthOf(out, 1); channel++) {
    net.join([out, 1, channel], [out, 1, channel - (channel % outputs)]);
  }
  net.joinAxes(w, 0, rows, 1);
  net.pinAxis(w, 1, `inside the groups of ${node.proto.opType} ${node.label}`);
}

/** The n-th channels of all groups go together, on each side. */
function coupleAcrossGroups(node: NodeFacts, { x, w }: Contraction, net: Couplings): void {
  const out = outputOf(node);
  const [whole, part] = node.proto.opType === 'Conv' ? [out, x] : [x, out];
  const [channels, length] = [lengthOf(w, 1), lengthOf(part, 1)];
  for (let channel = 0; channel < length; channel++) net.join([part, 1, channel], [w, 1, channel % channels]);
  net.joinAxes(w, 0, whole, 1);
  const perGroup = lengthOf(whole, 1) / (length / channels);
  for (let row = 0; row < lengthOf(whole, 1); row++) net.join([whole, 1, row], [whole, 1, row % perGroup]);
}

/** Batch and bias; space cannot shrink. */
function coupleConvolution(node: NodeFacts, net: Couplings): void {
  const [x, w, bias, out] = [inputOf(node, 0), inputOf(node, 1), node.inputs[2], outputOf(node)];
  net.joinAxes(x, 0, out, 0);
  if (bias !== undefined) net.joinAxes(bias, 0, out, 1);
  for (const value of [x, w, out]) pinSpace(node, value, net);
}

/** Rows of A, columns of B, batch axes and bias. */
function coupleProduct(node: NodeFacts, { x, xAxis, wAxis }: Contraction, net: Couplings): void {
  const [a, b, c, out] = [inputOf(node, 0), inputOf(node, 1), node.inputs[2], outputOf(node)];
  const rank = out.shape?.length ?? 0;
  const [summedA, summedB] = x === a ? [xAxis, wAxis] : [wAxis, xAxis];
  coupleFactor(a, summedA, [out, rank - 2], net);
  coupleFactor(b, summedB, [out, rank - 1], net);
  if (c !== undefined) joinBroadcast(net, c, out);
}

/** The last two axes of a factor are the summed one and one of the output; those before are broadcast. */
function coupleFactor(factor: Value, summed: number, [out, place]: readonly [Value, number], net: Couplings): void {
  const rank = factor.shape?.length ?? 0;
  const offset = (out.shape?.length ?? 0) - rank;
  net.joinAxes(factor, 2 * rank - 3 - summed, out, place);
  for (let axis = 0; axis < rank - 2; axis++) joinBroadcastAxis(net, [factor, axis], [out, axis + offset]);
}

/** The channels of x that needed output channels read. */
function demandChannels(node: NodeFacts, contraction: Contraction, marks: Demands): void {
  const { x, xAxis, weights, outAxis } = contraction;
  const reason = `read by ${node.proto.opType} ${node.label}`;
  if (weights === undefined) {
    demandProducts(contraction, marks, reason);
    return;
  }
  const rows = [...weights.pendingRows].filter((row) => marks.isLive(outputOf(node), outAxis, row));
  if (rows.length === 0) return;
  for (const row of rows) weights.pendingRows.delete(row);
  const merges = foldOf(contraction) === 'carrier';
  for (const channel of channelsRead(contraction, rows)) {
    if (isFoldable(contraction, channel)) continue;
    const constant = x.constants[xAxis]?.[channel] ?? Number.NaN;
    if (!merges || Number.isNaN(constant)) marks.mark(x, xAxis, channel, reason);
    else marks.mark(x, xAxis, marks.carrierOf(x, xAxis), `carries constants into ${node.proto.opType} ${node.label}`);
  }
}

/** Neither side is a constant matrix: a product is zero where one of its sides is. */
function demandProducts({ x, xAxis, w, wAxis }: Contraction, marks: Demands, reason: string): void {
  const [left, right] = [x.constants[xAxis], constantsOf(w, wAxis)];
  for (let index = 0; index < lengthOf(x, xAxis); index++) {
    if (left?.[index] !== 0 && right?.[index] !== 0) marks.mark(x, xAxis, index, reason);
  }
}

/** Puts what constant channels have added, and that goes with them, into the bias or the carrier's weights. */
function fold(node: NodeFacts, contraction: Contraction, edit: Rewriter): void {
  const { x, xAxis, w, wAxis, weights } = contraction;
  const constants = x.constants[xAxis];
  if (constants === undefined || weights === undefined || foldOf(contraction) === 'none') return;
  const goes = (channel: number): boolean => {
    const constant = constants[channel] ?? Number.NaN;
    return constant !== 0 && !Number.isNaN(constant) && !edit.isLive(x, xAxis, channel);
  };
  const rows = Array.from({ length: weights.nonzero.rows }, (_, row) => row);
  const channels = [...channelsRead(contraction, rows)].filter(goes);
  if (channels.length === 0) return;
  if (foldOf(contraction) === 'carrier') {
    const carrier = edit.carrierOf(x, xAxis);
    const columns = channels.map(
      (channel) => [channel, (constants[channel] ?? 0) / (constants[carrier] ?? 1)] as const,
    );
    edit.mergeColumns(node, { axis: wAxis, carrier, columns });
    return;
  }
  const addend = contribution(contraction, goes);
  if (node.proto.opType === 'MatMul') edit.addAfter(node, addend, w.type);
  else edit.addToVector(node, 2, addend, w.type);
}

function shrinkGroups(node: NodeFacts, { groups }: Contraction, edit: Rewriter): void {
  const out = outputOf(node);
  const perGroup = lengthOf(out, 1) / groups;
  setInt(node.proto, 'group', edit.countKept(out, 1, 0, lengthOf(out, 1)) / perGroup);
}

/** A node whose shapes fit what the operator says. */
function choose(form: (node: NodeFacts) => Contraction | undefined): RuleChoice {
  return (node) => {
    const contraction = form(node);
    if (contraction === undefined || contraction.x === contraction.w) return undefined;
    const { x, xAxis, w, wAxis, groups, weights, outAxis } = contraction;
    const [channels, columns] = [lengthOf(x, xAxis), lengthOf(w, wAxis)];
    const rows = lengthOf(outputOf(node), outAxis);
    const grouped = groups > 1 && (channels % groups !== 0 || rows % groups !== 0);
    const transposed = node.proto.opType === 'ConvTranspose';
    const fits = groups === 1 || transposed ? channels === columns || channels === 0 : channels === columns * groups;
    const rowsFit = weights === undefined || weights.nonzero.rows === rows;
    if (grouped || !fits || !rowsFit) return undefined;
    node.contraction = contraction;
    return contractionRule;
  };
}

export const contractions: RuleFamily = {
  Conv: choose(convolution),
  ConvTranspose: choose(convolution),
  Gemm: choose(gemm),
  MatMul: choose(matMul),
};
