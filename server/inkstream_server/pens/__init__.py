"""Pens that write over a stream: from events to glyphs, and from glyphs to answers.

    settings      how a pen wants to be read, checked
    limits        what pens may ask of the server
    faults        what a pen did wrong, in the contract's words
    strokes       strokes and glyphs as they grow
    clock         time as pens are told it
    points        columns of points, checked
    segment       the rules by which strokes become glyphs
    pen           one pen's state machine; knows no clock of its own, no loop and no wire
    renderer         draws the glyphs of all pens in turn and has them recognised
    glyph_answer  the answer that a stream owes to a glyph
    stability     how likely an early answer is to last
    ink_session   all pens of one stream
    single        one ink in a unary call

Imports run downwards in this list, or to `inkstream_server.ink` and the batcher.
"""
