// A network as TensorFlow Playground keeps it: nodes and links are objects, examples go through one at a time, and
// derivatives are added up over a batch before the weights are updated. Written for the comparison, not taken from it.
//
//   node playground.js < work.json    {widths, x, y, rows, weights, biases, lr, runs}
//
// Answers with the seconds of each run and the parameters at the end of the last: all weights of a layer, input by
// input, then its biases. Every run begins from the same parameters. `rows` are the examples of each batch.
'use strict'

class Link {
  constructor(source, dest, weight) {
    this.source = source
    this.dest = dest
    this.weight = weight
    this.errorDer = 0
    this.accErrorDer = 0
    this.numAccumulatedDers = 0
  }
}

class Node {
  constructor(bias, activation) {
    this.inputLinks = []
    this.outputs = []
    this.bias = bias
    this.activation = activation
    this.totalInput = 0
    this.output = 0
    this.outputDer = 0
    this.inputDer = 0
    this.accInputDer = 0
    this.numAccumulatedDers = 0
  }

  updateOutput() {
    this.totalInput = this.bias
    for (let j = 0; j < this.inputLinks.length; j++) {
      const link = this.inputLinks[j]
      this.totalInput += link.weight * link.source.output
    }
    this.output = this.activation.output(this.totalInput)
    return this.output
  }
}

const TANH = {
  output: Math.tanh,
  der: (x) => {
    const output = Math.tanh(x)
    return 1 - output * output
  },
}
const LINEAR = { output: (x) => x, der: () => 1 }
const SQUARE = { der: (output, target) => 2 * (output - target) }

function build({ widths, weights, biases }) {
  const network = []
  for (let layer = 0; layer < widths.length; layer++) {
    const activation = layer === widths.length - 1 ? LINEAR : TANH
    const nodes = []
    for (let i = 0; i < widths[layer]; i++) {
      const node = new Node(layer === 0 ? 0 : biases[layer - 1][i], activation)
      if (layer > 0) {
        for (let j = 0; j < network[layer - 1].length; j++) {
          const source = network[layer - 1][j]
          const link = new Link(source, node, weights[layer - 1][j][i])
          source.outputs.push(link)
          node.inputLinks.push(link)
        }
      }
      nodes.push(node)
    }
    network.push(nodes)
  }
  return network
}

function forward(network, inputs) {
  for (let i = 0; i < inputs.length; i++) network[0][i].output = inputs[i]
  for (let layer = 1; layer < network.length; layer++) {
    for (let i = 0; i < network[layer].length; i++) network[layer][i].updateOutput()
  }
  return network[network.length - 1][0].output
}

function backward(network, target) {
  const last = network[network.length - 1][0]
  last.outputDer = SQUARE.der(last.output, target)
  for (let layer = network.length - 1; layer >= 1; layer--) {
    const nodes = network[layer]
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[i]
      node.inputDer = node.outputDer * node.activation.der(node.totalInput)
      node.accInputDer += node.inputDer
      node.numAccumulatedDers++
    }
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[i]
      for (let j = 0; j < node.inputLinks.length; j++) {
        const link = node.inputLinks[j]
        link.errorDer = node.inputDer * link.source.output
        link.accErrorDer += link.errorDer
        link.numAccumulatedDers++
      }
    }
    if (layer === 1) continue
    const before = network[layer - 1]
    for (let i = 0; i < before.length; i++) {
      const node = before[i]
      node.outputDer = 0
      for (let j = 0; j < node.outputs.length; j++) {
        const link = node.outputs[j]
        node.outputDer += link.weight * link.dest.inputDer
      }
    }
  }
}

function update(network, lr) {
  for (let layer = 1; layer < network.length; layer++) {
    for (let i = 0; i < network[layer].length; i++) {
      const node = network[layer][i]
      if (node.numAccumulatedDers > 0) {
        node.bias -= (lr * node.accInputDer) / node.numAccumulatedDers
        node.accInputDer = 0
        node.numAccumulatedDers = 0
      }
      for (let j = 0; j < node.inputLinks.length; j++) {
        const link = node.inputLinks[j]
        if (link.numAccumulatedDers > 0) {
          link.weight -= (lr / link.numAccumulatedDers) * link.accErrorDer
          link.accErrorDer = 0
          link.numAccumulatedDers = 0
        }
      }
    }
  }
}

function train(network, { x, y, rows, lr }) {
  for (let step = 0; step < rows.length; step++) {
    for (const row of rows[step]) {
      forward(network, x[row])
      backward(network, y[row])
    }
    update(network, lr)
  }
}

const work = JSON.parse(require('fs').readFileSync(0, 'utf8'))
const seconds = []
let network
for (let run = 0; run < work.runs; run++) {
  network = build(work)
  const began = process.hrtime.bigint()
  train(network, work)
  seconds.push(Number(process.hrtime.bigint() - began) / 1e9)
}
const theta = []
for (let layer = 1; layer < network.length; layer++) {
  for (const source of network[layer - 1]) theta.push(...source.outputs.map((link) => link.weight))
  theta.push(...network[layer].map((node) => node.bias))
}
process.stdout.write(JSON.stringify({ seconds, theta }))
