import { test } from 'vitest';
import { GraphBuilder } from '../src/onnx/build/graph-builder.js';
import { modelOf } from '../src/onnx/build/model.js';
import { runOfficially } from './training/official.js';
test('x', async () => {
  for (const [training, n] of [[1,4],[0,4],[1,3],[0,2]] as const) {
  const g = GraphBuilder.create('c');
  const dy=g.input('dy','float32',[3]); const m=g.input('m','bool',[3]); const r=g.input('r','float32',[]); const t=g.input('t','bool',[]);
  const y=g.op('DropoutGrad',[dy,m,r,t].slice(0,n),{}, {domain:'com.microsoft'});
  g.output(y,'float32',[3]);
  const feeds: any ={dy:{type:'float32',data:Float32Array.of(1,2,3),dims:[3]},m:{type:'bool',data:Uint8Array.of(1,0,1),dims:[3]},r:{type:'float32',data:Float32Array.of(0.25),dims:[]},t:{type:'bool',data:Uint8Array.of(training),dims:[]}};
  const f=Object.fromEntries(['dy','m','r','t'].slice(0,n).map(k=>[k,feeds[k]]));
  try { console.log(training,n,(await runOfficially(modelOf(g.graph,{opset:14,domains:{'com.microsoft':1}}), f))[y]!.data);} catch(e){console.log(training,n,e)}
  }
});
