// What is logged is compared with what node prints.
export async function work() {

class Foo { constructor(){ this.a=1; this.#p=2 } #p; get g(){return 1} static s=1 }
class Bar extends Foo {}
const circ={name:"c"}; circ.self=circ; circ.list=[circ,{circ}];
const np=Object.create(null); np.x=1;
const e=new Error("msg"); e.stack="Error: msg\n    at x"; e.code="E1";
const agg=new AggregateError([new TypeError("t")],"many"); agg.stack="AggregateError: many\n    at y"; agg.errors[0].stack="TypeError: t\n    at z";
const cause=new Error("outer",{cause:"why"}); cause.stack="Error: outer\n    at o";
console.log(1,-0,1.5,NaN,10n,true,null,undefined,Symbol("s"),"str");
console.log([1,2,3],["a","b"],[],{}, [[]], [{}], {a:[]});
console.log({a:1,b:"two",c:[1,2,{d:{e:{f:1}}}]});
console.log([undefined,null,,3,,,]);
console.log(Array.from({length:120},(_,i)=>i));
console.log(Array.from({length:30},(_,i)=>"item"+i));
console.log(Array.from({length:7},(_,i)=>({id:i})));
console.log(new Map([["a",1],[{k:1},[1,2]]]), new Set([1,"x",{y:1}]), new Map(), new Set());
console.log(new Foo(), new Bar(), Foo, Bar, class{}, np);
console.log(function named(){}, ()=>{}, async function af(){}, function*gen(){}, Math.max);
console.log(circ);
console.log(e); console.log({e}); console.log(agg); console.log(cause);
console.log(new Date(0), [new Date(NaN)], /re/gi, [/x/]);
console.log(new Uint8Array([1,2,3]), new Float64Array(2), new ArrayBuffer(4), new DataView(new ArrayBuffer(2)).byteLength);
console.log([new Number(3), new String("abc"), new Boolean(false), Object(Symbol("q")), Object(1n)]);
console.log({get a(){return 1}, set a(v){}, get b(){return 1}, set c(v){}, [Symbol("k")]:1, "quoted-key":1, 1:2, valid_id:3});
console.log("%s %s %s %s", "a", 1, {a:{b:1}}, [1,[2]], "extra", {x:1});
console.log("%d %i %f %d", "42", "42.9", "1.5x", {}, "%s");
console.log("%j %o %O %% %c|", {a:1}, {f(){}}.x, {a:{b:{c:{}}}}, "css");
console.log("100%", 5, "%s");
console.log("%s", -0, 5n, Symbol("x")); console.log("%s", null, undefined, ()=>1);
console.log(["it's", 'say "hi"', `both ' and "`, "new\nline", "tab\t", "\u0000\u001b", "emoji 😀", "\\back"]);
console.log({s:"x".repeat(100), t:["x".repeat(70),"y"]});
console.log({long1:"aaaaaaaaaaaaaaaaaaaa",long2:"bbbbbbbbbbbbbbbbbbbbbbbb",long3:"cccccccccccccccccccc",l4:"ddddd"});
console.log({a:{b:{c:{}}}}, {a:{b:{c:{d:1}}}}, {a:{b:{c:[]}}}, {a:{b:{c:[1]}}}, [[[[]]]], [[[[1]]]]);
console.log([["a",1],["b",2]], {m:new Map([["x",{y:{z:{}}}]])});
console.log(Promise.resolve(1) instanceof Promise, new WeakMap(), new WeakSet(), [function(){}], {fn(){}, af:async()=>{}});
console.log(Object.assign(()=>{}, {prop:1}), Object.assign([1,2],{extra:true}), Object.assign(new Map([[1,2]]),{p:1}));
console.log(process.argv instanceof Array, [true,false], ["",""], {"":1}, {undefined:undefined,null:null});
console.log([1.5,2.25,-3,1000000,1e21,1e-7], [10n,200n,3n,4n,5n,6n,7n]);
console.log({nested:{array:[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27]}});
console.log([{name:"Ada Lovelace",email:"ada@example.com",roles:["admin","user"]},{name:"Bob",email:"bob@example.com",roles:[]}]);
console.log(Object.create({inherited:1}), Object.create(Foo.prototype), new (class extends Array{})(3), new (class X extends Map{})());
console.table([{a:1,b:"x"},{a:2,c:true}]); console.table([1,"two"]); console.table({k:{v:1}}, ["v"]);
console.log((function(){return arguments})(1,2)); console.log(globalThis === undefined, JSON, Math[Symbol.toStringTag]);
console.log({ a: "line1\nline2 is a long string that goes on and on and on and on and on and on" });
console.log(new Array(5), [,], [1,,2], Object.freeze([1]), {__proto__:{}}, {["__proto__"]:1});
console.group("g"); console.log("in\ngroup",{a:1}); console.groupEnd(); console.log("out");
console.count(); console.count("x"); console.count(); console.assert(true,"no"); console.log();
console.log([ 'apple', 'banana', 'cherry', 'dragonfruit', 'elderberry', 'fig', 'grape' ]);
  return "logged";
}
