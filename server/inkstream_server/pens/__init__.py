"""Turns what pens do on a stream into glyphs, and glyphs into replies.

Leaves drawing to `ink`, recognition to `batching`, and sending to `streams`.

    ink_session   all pens of one stream; everything else serves it
    pen           the state machine of one pen, with the rules of segmentation over strokes
    pen_replies   the replies that a pen asks for: glyph_reply, from renderer, with stability
    due_timer     when a pen is due
    settings      what a pen may choose, within limits; points checks its ink; faults reports what is wrong
    resources     what all streams share
"""
