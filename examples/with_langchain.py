"""mmsdk as a LangChain retriever in a chain."""

from langchain_core.prompts import ChatPromptTemplate

from mmsdk import Collection
from mmsdk.langchain import Retriever

with Collection.open("my-collection", create=True) as collection:
    collection.add("examples/data/policies")
    retriever = Retriever(collection, k=3)
    prompt = ChatPromptTemplate.from_template("Answer from these passages:\n{passages}\n\nQuestion: {question}")

    question = "How long do you keep invoices?"
    for document in retriever.invoke(question):
        print(document.metadata["source"], document.page_content[:60], sep=": ")

    chain = {"passages": retriever, "question": lambda text: text} | prompt
    print(chain.invoke(question).to_string()[:80])
