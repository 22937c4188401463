"""How customers phrase things: openings, requests and closings, split in two.

The last quarter of each list is held out, so a held-out message uses no phrase that
a train message can use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentgym import Case

    from .helpdesk import Order

INSTRUCTIONS = (
    "You are the support agent of a web shop. Look an order up before you change it. "
    "Refund delivered orders up to 30 days after delivery. Cancel only orders in "
    "processing. We are open from 9 to 17."
)

WORDING = {"output_generation": True}
"""Of scenarios that check what the agent says, training may change that, too."""

OPENINGS = [
    "",
    "Hi.",
    "Hello,",
    "Good morning.",
    "Hi there!",
    "Dear team,",
    "Hey,",
    "Good day.",
    "Hello again.",
    "Excuse me,",
    "Greetings.",
    "Hello support,",
]
CLOSINGS = [
    "",
    "Thanks!",
    "Please help.",
    "Thank you.",
    "Best regards.",
    "Please hurry.",
    "Thanks in advance.",
    "Can you do that?",
    "I hope you can help.",
    "Kind regards.",
    "Many thanks.",
    "Cheers.",
]
REQUESTS = {
    "damaged": [
        "My order {order} arrived broken. I want my money back.",
        "Order {order} came damaged, please refund me.",
        "The {item} from order {order} is broken. Give me a refund.",
        "I got {order} today and it is in pieces. I would like a refund.",
        "Please pay me back for {order}, it was damaged.",
        "{order} does not work at all, I want a refund.",
        "The {item} is defective, order {order}. Money back please.",
        "I need a refund for the broken order {order}.",
        "What you sent in {order} is cracked. Refund it.",
        "Order number {order}: the {item} is smashed, I want to be paid back.",
        "Refund {order}, please. It came broken.",
        "My {item} ({order}) has a big dent, can I have my money back?",
        "It is a pity, but {order} was ruined in the post. Please refund it.",
        "The parcel {order} held a broken {item}. I ask for a refund.",
        "Could I be refunded for {order}? It is damaged.",
        "There is a crack in the {item} of order {order}; I want the money.",
    ],
    "damaged_customer": [
        "I am customer {customer}. My order arrived broken, refund it please.",
        "My customer number is {customer} and what I ordered is damaged. Money back!",
        "Customer {customer} here. The {item} is broken, I want a refund.",
        "I lost the order number, but I am {customer}. The {item} came in pieces.",
        "Please refund my broken {item}. Customer number {customer}.",
        "As customer {customer} I want my money back: the {item} does not work.",
        "{customer} is my customer number. My {item} is defective, refund me.",
        "My {item} is cracked. I only know my customer number, {customer}. Refund?",
        "Refund for customer {customer}, please. The {item} was smashed.",
        "I want to be paid back for a broken {item}. I am customer {customer}.",
        "You know me as {customer}. The {item} I got is ruined, refund it.",
        "No order number at hand, customer {customer}. The {item} is damaged.",
    ],
    "unwanted": [
        "I changed my mind about {order}, refund it.",
        "I do not like the {item} from {order}. I want my money back.",
        "Please take back order {order} and refund me.",
        "I never used {order}. Can I have a refund?",
        "Refund order {order}, I do not need the {item}.",
        "The {item} is not my taste, order {order}. Pay me back.",
        "I would like to return {order} for a refund.",
        "Money back for {order}, please. I no longer want it.",
        "Can {order} be refunded? I have two of them.",
        "I regret buying the {item}. Please refund {order}.",
        "Give me back what I paid for {order}.",
        "The {item} stands around unused. Refund {order}, will you?",
    ],
    "second_refund": [
        "Where is the refund for {order}? Pay me back.",
        "I am still waiting for my money for {order}. Refund it.",
        "You must refund {order}, I sent it back.",
        "I returned the {item}. Please refund {order}.",
        "Did you refund {order}? If not, do it now.",
        "Please check the refund of order {order}.",
        "I want the money for {order}, the {item} went back to you.",
        "Refund {order}. I returned it last week.",
        "My refund for {order} is missing, please pay it.",
        "The {item} is with you again, so refund {order}.",
        "I see no money for {order} yet. Refund please.",
        "Pay back {order} at last.",
    ],
    "cancel": [
        "Please cancel order {order}.",
        "I want to cancel {order}.",
        "Cancel {order}, I ordered the {item} by mistake.",
        "I do not need {order} any more, please cancel it.",
        "Can you stop order {order}?",
        "Please call off {order}, I found a cheaper {item}.",
        "Order {order} was a mistake. Cancel it.",
        "I changed my mind: cancel {order}.",
        "Kindly cancel my order {order}.",
        "Do not send {order}. Cancel it, please.",
        "I wish to withdraw order {order}.",
        "Would you cancel the {item}, order {order}?",
    ],
    "track": [
        "Where is my order {order}?",
        "Where is the parcel of {order} now?",
        "I am waiting for {order}. Where is it?",
        "Can you tell me where {order} is?",
        "Track {order} for me.",
        "At which depot is my parcel {order}?",
        "My {item} has not come yet, where is {order}?",
        "Please locate order {order}.",
        "What is the position of parcel {order}?",
        "Has {order} left? Where is it?",
        "I would like to know where {order} has got to.",
        "Find the parcel {order}, please.",
    ],
    "lost": [
        "My parcel {order} never came. "
        "Check it and open an urgent ticket if it is lost.",
        "{order} is missing for weeks. Is it lost? Then file an urgent ticket.",
        "I think {order} was lost on the way. Please look and open an urgent ticket.",
        "Nobody brought {order}. If the parcel is lost, open an urgent ticket.",
        "The parcel with my {item}, {order}, is gone. Check and file an urgent ticket.",
        "Please find out if {order} is lost and open an urgent ticket.",
        "Is {order} lost? Then I want an urgent ticket.",
        "The {item} never arrived, {order}. Look into it and open an urgent ticket.",
        "Look for {order}, and make an urgent ticket if it got lost.",
        "{order} has vanished, please check and raise an urgent ticket.",
        "The post lost {order}, I fear. Check it and open an urgent ticket.",
        "Search for {order} and file an urgent report if it is lost.",
    ],
    "address": [
        "Send {order} to postcode {postcode} instead.",
        "I moved. Please deliver {order} to {postcode}.",
        "Change the postcode of {order} to {postcode}.",
        "The new postcode for order {order} is {postcode}.",
        "Can {order} go to {postcode}?",
        "My {item}, order {order}, should go to {postcode}.",
        "Please use {postcode} as postcode for {order}.",
        "Wrong address! {order} has to go to {postcode}.",
        "I need {order} at {postcode}, not at home.",
        "Update the address of {order}: postcode {postcode}.",
        "Redirect {order} to {postcode}, please.",
        "For {order} take the postcode {postcode}.",
    ],
    "complaint": [
        "I am customer {customer}. "
        "My order broke: refund it and file an urgent ticket.",
        "Customer {customer}: refund my broken {item} and open a high priority ticket.",
        "My number is {customer}. I want a refund and an urgent complaint on file.",
        "{customer} here. Refund the {item} and log an urgent ticket about it.",
        "As {customer} I demand a refund of the {item} and an urgent ticket.",
        "Pay back my {item} and open an urgent ticket, customer {customer}.",
        "The {item} burned! Customer {customer}. Refund and an urgent ticket, please.",
        "I want two things: a refund and an urgent ticket. Customer {customer}.",
        "Refund me and file this as urgent. Customer number {customer}.",
        "The {item} is dangerous, customer {customer}. Refund and urgent ticket.",
        "Customer number {customer}: money back for the {item}, and an urgent ticket.",
        "Urgent ticket and refund for the {item} of customer {customer}, please.",
    ],
    "warranty": [
        "How long is the warranty?",
        "What warranty do you give?",
        "How many months of warranty do I have?",
        "Is there a warranty, and how long?",
        "Tell me about the warranty.",
        "When does the warranty end?",
        "How long are things under warranty?",
        "I want to know the length of your warranty.",
        "What does your warranty say?",
        "For how long does the warranty hold?",
        "Do you offer a warranty? How long?",
        "Explain your warranty, please.",
    ],
    "returns": [
        "How long can I return things?",
        "What is your return policy?",
        "Within how many days may I send something back?",
        "How many days do I have for a return?",
        "Tell me about returns.",
        "Until when are returns possible?",
        "What are the rules for returns?",
        "May I return things, and for how long?",
        "How does returning work here?",
        "How long is the return period?",
        "When must returns be sent?",
        "Explain your returns, please.",
    ],
    "payment": [
        "When do I have to pay the invoice?",
        "How long do I have to pay?",
        "When are invoices due?",
        "What is the payment period?",
        "By when must an invoice be paid?",
        "How many days do I have for payment?",
        "Tell me about payment by invoice.",
        "Can I pay later, and how much later?",
        "What are your payment terms?",
        "After how many days is payment due?",
        "How late may I pay my invoice?",
        "Explain how payment works, please.",
    ],
    "thanks": [
        "Everything was great, nothing more to do.",
        "All is fine now, I only want to say thank you.",
        "You were very helpful yesterday.",
        "I just want to praise your team.",
        "The {item} is lovely. That is all I wanted to say.",
        "No question today, only praise.",
        "It all worked out, thank you so much.",
        "My order came on time. I am happy.",
        "You did a great job with my order.",
        "I am very pleased with the {item}.",
        "Just a note of thanks, I need nothing.",
        "Well done, I love the {item}.",
    ],
    "hours": [
        "When are you open?",
        "What are your opening hours?",
        "From when can I call you?",
        "Until when can I reach you?",
        "How long are you open today?",
        "Tell me your hours.",
        "At what time do you open and close?",
        "When can I talk to somebody?",
        "Are you open at noon?",
        "Which hours are you there?",
        "When does the shop close?",
        "What time is your desk staffed?",
    ],
    "legal": [
        "My lawyer will write to you about {order}.",
        "I am going to sue you over {order}.",
        "You will hear from my lawyer because of the {item}.",
        "I take you to court for {order}.",
        "This is a legal matter now, order {order}.",
        "My attorney handles {order} from today.",
        "I will file a lawsuit about the {item}.",
        "Expect a lawsuit over {order}.",
        "We shall meet in court about {order}.",
        "I have hired a lawyer because of order {order}.",
        "A court will decide about {order}.",
        "My solicitor will deal with the {item}, order {order}.",
    ],
}


def phrases(listed: list[str], split: str) -> list[str]:
    """The phrases of one split: the last quarter is held out."""
    cut = len(listed) * 3 // 4
    return listed[cut:] if split == "held_out" else listed[:cut]


def say(
    topic: str, case: Case, order: Order | None = None, *, postcode: str = ""
) -> str:
    """A customer's message about a topic, in the words of the case's split."""
    rng = case.rng
    opening, request, closing = (
        rng.choice(phrases(listed, case.split))
        for listed in (OPENINGS, REQUESTS[topic], CLOSINGS)
    )
    facts, name = {"postcode": postcode}, ""
    if order is not None:
        facts |= {"order": order.id, "customer": order.customer_id, "item": order.item}
        name = order.name
    return " ".join(filter(None, (opening, request.format(**facts), closing, name)))
