"""A question for every claim: what a class predicts before the run is shown.

Each can be answered before the answer is seen, by a vote or in a sentence, and the experiment that the claim opens
decides it. A claim that several pages show has one question, unless a page shows another side of it: then that page's
name stands before the claim's. The claims themselves, with what is true and when, are in their own rooms.
"""

QUESTIONS = {
    "A1": "Two runs of gradient descent in a narrow valley, one slow and one quick. Which of them swings from wall "
    "to wall, and which gets ahead along the floor?",
    "A2": "Three learning rates on one valley, each a little larger. Which of them still converge, and how does the "
    "path change first: does it swing, or does it fly off?",
    "A3": "A run starts a hair's breadth beside the ridge of a saddle. If it starts ten times nearer, how much "
    "longer does it stay: ten times, or a fixed number of steps?",
    "A4": "A shallow dent lies between the start and the deepest place. Does plain descent pass it? Does momentum?",
    "A5": "Gradients are noisy now. One run has half the rate of the other. Which ends lower, and which is there "
    "first?",
    "A6": "Momentum 0, 0.9 and 0.99 in the same narrow valley: which is first near the minimum, and which comes last?",
    "A7": "“Keep 90 % of the old direction and take 10 % of the gradient”: compared with the heavy ball at the same "
    "learning rate, is this as quick, ten times quicker, or ten times slower?",
    "A8": "Nesterov's rule takes the gradient where its velocity will carry it. Will it swing more or less than "
    "momentum across the valley? And along the floor?",
    "A9": "AdaGrad divides by all gradients it has ever seen. With noise that never ends: what becomes of its steps?",
    "A10": "RMSProp goes straight to the middle of a valley that lies along the axes. What happens when the valley "
    "is turned by 45°?",
    "A11": "Adam is built from momentum and RMSProp. Which overshoots more on a steep wall, momentum or Adam?",
    "A12": "Adam's averages start at zero. Without a correction, is its first step too long, too short, or just right?",
    "A13": "diffGrad slows down where the gradient changes little. In a smooth bowl: is it quicker than Adam, as "
    "quick, or slower?",
    "A14": "How many steps does Newton's method need to the bottom of a quadratic bowl, however narrow it is?",
    "A15": "A network has a million parameters. How many numbers are in its Hessian, and what does that mean for "
    "Newton's method?",
    "A16": "Eight rules from one start, each at a good rate of its own. Do they take about the same way? Do all "
    "arrive?",
    "B1": "Draw the final loss against the learning rate, from far too small to far too large. Where is its lowest "
    "point, and is it the same for every optimizer?",
    "B2": "One training loss falls smoothly, the other jumps about. Which network is right more often on new examples?",
    "B3": "Eight ways to let the learning rate fall. Which run ends lowest, and do the paths look alike?",
    "B3n": "A network is trained with a constant rate, with drops, with half a cosine and with a warm-up. Which loss "
    "curve belongs to which?",
    "B4": "The rate is cut whenever the loss has stopped falling. What will the curve of the loss look like after "
    "each cut?",
    "B4n": "The rate is cut when the validation loss has stopped falling. At which moments can a cut come?",
    "B5": "A run with a constant rate falls and then only trembles. At which step should the rate drop, and what "
    "happens if it drops far too early?",
    "B6": "Who gains more from letting the rate fall to zero: SGD or Adam?",
    "B7": "Can a learning rate that rises now and then end in a better minimum than one that stays small? Why?",
    "B7n": "A rate goes up and down between two bounds. Will the network learn faster than with either bound alone?",
    "B8": "The learning rate rises from far too small to far too large in one short run. Draw the curve of the loss. "
    "Which rates would you choose from it?",
    "B9": "The learning rate is set back to its highest value again and again. What happens to the training loss at "
    "each restart, and can the networks from just before them be of use together?",
    "B10": "In one cycle the rate goes up and then down. Should the momentum go the same way, or the opposite one?",
    "B11": "How many steps can one cycle with a very high rate save, compared with a usual rate: none, half, or more?",
    "B11x": "Two cases: a cycle up to a small rate only, and a cycle beside a strong penalty. Does the shortcut "
    "still work?",
    "B12": "Biases get a larger step than weights. Does the network learn faster?",
    "B13": "A learning rate beyond the stable limit, and a rule that halves it whenever the loss rises. Where will "
    "the rate settle?",
    "C1": "If a training is paused, its learning rate changed and then resumed: does the loss curve start anew?",
    "C2": "A loss is changed by one weight in the first layer. By which numbers, along which paths, does its "
    "gradient come about?",
    "C3": "Ten layers, before any training: what becomes of the activations when all weights start too small? Too "
    "large?",
    "C4": "Deep networks with sigmoid, tanh and ReLU. Which does not learn at all, and what can go wrong with ReLU?",
    "C5": "The same network, once with inputs around 0 and once with raw inputs. What will the two losses do?",
    "C6": "At a rate at which a plain network does not learn: will one with batch normalization?",
    "C7": "All examples at once, small batches, or one example at a time: which needs the fewest examples to reach "
    "the same loss?",
    "C8": "A large network is trained for very long on few examples. Draw its training loss and its validation loss.",
    "C10": "A penalty on |w| and one on w². Which of them leaves weights that are exactly useless, near zero, and "
    "which leaves all of them small?",
    "C11": "Half of the units are dropped at each training step, and none when measuring. What must be done to the "
    "activations, so that the next layer receives what it is used to?",
    "C13": "One network was trained on noisy pictures, one on clean ones. Which is better on clean pictures, and "
    "which on noisy ones?",
    "C17": "As a network trains with a fixed step, does the surface under it get flatter or sharper? Where does it "
    "stop?",
    "C17b": "The ravine gets steeper towards its minimum. Which learning rates arrive there, and where do others stop?",
    "phase_map.A2": "A map of all learning rates and all condition numbers. Where is the border between runs that "
    "converge and runs that diverge, and what is its shape?",
    "phase_map.A6": "A map of all learning rates and all values of momentum. Where on it are the quickest runs? Is "
    "more momentum always better?",
    "basin_map.A3": "Every point of the window is a start. From which does plain descent stall at the saddle? And "
    "where does Newton's method end?",
    "basin_map.A4": "Every point of the window is a start. How does the share that ends in the shallow minimum "
    "change with momentum, and do its borders stay smooth?",
    "fair_race.A9": "Under noise that never ends, which keeps on falling: AdaGrad, or rules with a constant rate?",
    "fair_race.A10": "Each optimizer has its own best rate. Which of them get slower when the valley is turned away "
    "from the axes?",
    "fair_race.A11": "Momentum and Adam, each at its own best rate. Whose loss ripples more deeply?",
    "cloud.A5": "A thousand noisy runs as a cloud. What becomes of its size over time, and what if the rate is halved?",
    "A5-saddle": "A thousand runs are led straight to a saddle, with a little noise. Where are they after a while?",
    "A5-wells": "A thousand noisy runs start in a sharp minimum. A flat one of the same depth lies beside it. Where "
    "are they in the end?",
    "stability.A2": "On a quadratic bowl, does the sharpness under a run change? Which rates stay, and which fly off?",
    "second_order.A14": "At this point a linear and a quadratic model are fitted. Where does each send the next "
    "step, and which is true on a quadratic bowl?",
    "second_order.A15": "The number of parameters doubles. By how much do the memory and the time of Newton's method "
    "grow, and those of L-BFGS?",
}
